"""A person's sessions, listed from the read model."""
