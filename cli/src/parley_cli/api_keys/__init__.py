"""`parley api-keys`: creates, lists and revokes API keys of a user."""
