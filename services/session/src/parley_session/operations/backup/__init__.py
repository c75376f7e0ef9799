"""Backups of the event store: written from one snapshot, verified without a database."""
