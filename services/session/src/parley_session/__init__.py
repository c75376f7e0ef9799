"""The write side of Parley: what may happen in a session, decided."""
