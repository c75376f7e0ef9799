"""Domain model of sessions and assistants: pure functions, tested without a database."""
