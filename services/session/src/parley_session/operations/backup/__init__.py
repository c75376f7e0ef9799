"""The write side in files: written in one snapshot, verified without a database, restored."""
