"""Rejection of a bearer token."""


class InvalidToken(Exception):
    """The token is rejected; the message gives the reason without quoting the token."""
