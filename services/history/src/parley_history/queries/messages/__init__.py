"""Message pages of one session."""
