"""Runs Parley on one machine: the engines and the demo model."""
