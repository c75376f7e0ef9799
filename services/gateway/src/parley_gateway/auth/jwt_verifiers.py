"""Verifies clients' tokens: with the one shared secret, or with keys that an issuer publishes.

The algorithm comes from the settings or from the key, never from the token (RFC 8725, section 3.1).
"""

from typing import Any, Protocol

import jwt

from parley_gateway.auth.jwks import ALGORITHMS
from parley_gateway.auth.jwks_client import JWKSClient

LEEWAY_SECONDS = 30


class InvalidToken(Exception):
    """The token proves nothing; the message says why without repeating it."""


class JWTVerifier(Protocol):
    async def claims_of(self, token: str) -> dict[str, Any]:
        """Raises InvalidToken, or Unavailable when there is nothing to verify with."""


class SharedSecretVerifier:
    """HS256. Issuer and audience are checked where they are given."""

    def __init__(self, secret: str, *, issuer: str | None, audience: str | None) -> None:
        self._secret, self._issuer, self._audience = secret, issuer, audience

    async def claims_of(self, token: str) -> dict[str, Any]:
        return _verified(token, self._secret, "HS256", self._issuer, self._audience)


class JWKSVerifier:
    """RS256 or ES256, whichever the key that the token names is for."""

    def __init__(self, keys: JWKSClient, *, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    async def claims_of(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise InvalidToken("The token is malformed.") from None
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise InvalidToken("The token is signed otherwise than with RS256 or ES256.")
        found = await self._keys.find(header.get("kid"), algorithm)
        if found is None:
            raise InvalidToken("The token is signed with a key that is not known here.")
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
        raise InvalidToken("The token has expired.") from None
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
        raise InvalidToken("The token was issued by or for somebody else.") from None
    except jwt.MissingRequiredClaimError as missing:
        raise InvalidToken(f"The token has no {missing.claim} claim.") from None
    except (jwt.PyJWTError, ValueError):
        raise InvalidToken("The token is malformed or forged.") from None
