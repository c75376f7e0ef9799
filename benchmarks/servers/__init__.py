"""Servers that the benchmarks measure, and their baselines."""
