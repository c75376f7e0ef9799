"""The one public door of Parley: authenticates, limits, routes, and relays streams."""
