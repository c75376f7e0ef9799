"""`parley revoke`."""
