"""Test utilities shared by several packages."""
