"""Decodes signed JWTs strictly: a header field or claim of the wrong JSON type is an error."""

from typing import Any

import jwt

# The largest integer that JSON readers in every language represent exactly.
_MAX_SECONDS = 2**53


class MalformedTokenError(jwt.InvalidTokenError):
    """A registered header field or claim has the wrong type (RFC 7515, RFC 7519)."""


def decode_jwt(codec: jwt.PyJWT, token: str, key: Any, **options: Any) -> dict[str, Any]:
    """The verified claims. Raises jwt.PyJWTError and nothing else; `options` as in PyJWT."""
    try:
        decoded = codec.decode_complete(token, key, **options)
    except (TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        # PyJWT raises these for some values of the wrong type, such as an infinite `exp`.
        raise MalformedTokenError(type(error).__name__) from None
    claims: dict[str, Any] = decoded["payload"]
    if not isinstance(decoded["header"].get("typ", ""), str):
        raise MalformedTokenError("typ")
    for name in ("exp", "iat", "nbf"):
        if not _is_time(claims.get(name, 0)):
            raise MalformedTokenError(name)
    if not isinstance(claims.get("iss", ""), str):
        raise MalformedTokenError("iss")
    audience = claims.get("aud", "")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in audiences):
        raise MalformedTokenError("aud")
    return claims


def unverified_header(token: str) -> dict[str, Any]:
    """The header of a token; its `alg` is a string. Raises jwt.PyJWTError and nothing else."""
    try:
        header = jwt.get_unverified_header(token)
    except (TypeError, AttributeError, ValueError, RecursionError) as error:
        raise MalformedTokenError(type(error).__name__) from None
    if not isinstance(header.get("alg"), str):
        raise MalformedTokenError("alg")
    return header


def _is_time(value: Any) -> bool:
    # PyJWT also accepts strings and booleans.
    return type(value) in (int, float) and 0 <= value <= _MAX_SECONDS
