"""Benchmarks of the event store, the outbox, the projection and their operations."""
