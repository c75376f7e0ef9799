"""`parley backup`, `parley verify-backup` and `parley restore`."""
