"""Benchmarks: every speed claim of Parley as a ratio to a baseline of the same run."""
