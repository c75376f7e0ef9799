"""Benchmarks of the whole stack: tokens, first token, cost of a turn, startup and the chat page."""
