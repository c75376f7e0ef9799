"""Runs Parley on one machine, and talks to it from a terminal."""
