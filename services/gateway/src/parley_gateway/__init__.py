"""Gateway: the public API of Parley; authenticates, limits and routes requests, relays streams."""
