"""`parley chat`: a conversation in the terminal, over the public API alone."""
