"""Benchmarks of history reads and search."""
