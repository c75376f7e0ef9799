"""Verifies clients' tokens: with the one shared secret, or with keys that an issuer publishes.

The algorithm comes from the settings or from the key, never from the token (RFC 8725, section 3.1).
"""

from typing import Any, Protocol

import jwt

from parley_gateway.auth.jwks import ALGORITHMS
from parley_gateway.auth.jwks_client import PublishedKeys

LEEWAY_SECONDS = 30


class TokenRefused(Exception):
    """The token proves nothing; the message says why without repeating it."""


class Tokens(Protocol):
    async def claims_of(self, token: str) -> dict[str, Any]:
        """Raises TokenRefused, or Unavailable when there is nothing to verify with."""


class SharedSecretTokens:
    """HS256. Issuer and audience are checked where they are given."""

    def __init__(self, secret: str, *, issuer: str | None, audience: str | None) -> None:
        self._secret, self._issuer, self._audience = secret, issuer, audience

    async def claims_of(self, token: str) -> dict[str, Any]:
        return _verified(token, self._secret, "HS256", self._issuer, self._audience)


class PublishedKeyTokens:
    """RS256 or ES256, whichever the key that the token names is for."""

    def __init__(self, keys: PublishedKeys, *, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    async def claims_of(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise TokenRefused("The token is malformed.") from None
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise TokenRefused("The token is signed otherwise than with RS256 or ES256.")
        found = await self._keys.find(header.get("kid"), algorithm)
        if found is None:
            raise TokenRefused("The token is signed with a key that is not known here.")
        return _verified(token, found.key, found.algorithm_name, self._issuer, self._audience)


def _verified(
    token: str, key: Any, algorithm: str, issuer: str | None, audience: str | None
) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub"], "verify_aud": audience is not None},
        )
    except jwt.ExpiredSignatureError:
        raise TokenRefused("The token has expired.") from None
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
        raise TokenRefused("The token was issued by or for somebody else.") from None
    except jwt.MissingRequiredClaimError as missing:
        raise TokenRefused(f"The token has no {missing.claim} claim.") from None
    except (jwt.PyJWTError, ValueError):
        raise TokenRefused("The token is malformed or forged.") from None
