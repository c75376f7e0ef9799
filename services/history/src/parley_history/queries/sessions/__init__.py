"""Session lists: pages of one person's sessions."""
