"""`parley chat`: a chat client for the terminal that uses only the public API."""
