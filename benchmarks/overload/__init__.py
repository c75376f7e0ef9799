"""Benchmarks of floods and demanding requests: what they do to other people and to memory."""
