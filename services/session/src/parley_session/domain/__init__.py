"""The session aggregate: pure, so that every rule is tested without a database."""
