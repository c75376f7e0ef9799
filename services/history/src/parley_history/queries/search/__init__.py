"""Search over what was said, on words that nobody can read without the person's key."""
