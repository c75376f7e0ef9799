"""Defaults of development tokens, which the help of commands shows."""

DEFAULT_USER = "you"
DEFAULT_HOURS = 30 * 24
