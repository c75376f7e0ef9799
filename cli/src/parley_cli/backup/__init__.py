"""`parley backup`, `parley verify-backup`, `parley restore`."""
