"""`parley keys`."""
