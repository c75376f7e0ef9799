"""Maintenance commands: rebuild and verify the read model, inspect and resolve dead letters."""
