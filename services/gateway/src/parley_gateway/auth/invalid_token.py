"""Rejection of a bearer token."""

from typing import Literal

from parley_core.http.errors import Unauthenticated

Reason = Literal[
    "malformed",
    "issuer",
    "key",
    "audience",
    "expired",
    "clock",
    "kind",
    "claims",
    "revoked",
    "api_key",
]


class InvalidToken(Unauthenticated):
    """The token is rejected; the message gives the reason without quoting the token.

    The response is unlike that to a missing token (RFC 6750, section 3).
    """

    code = "invalid_token"

    def __init__(self, message: str, reason: Reason) -> None:
        """`reason` is for operators, who count them."""
        self.reason = reason
        super().__init__(message, headers={"www-authenticate": 'Bearer error="invalid_token"'})
