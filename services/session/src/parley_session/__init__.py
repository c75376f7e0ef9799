"""Session service: the write side of Parley."""
