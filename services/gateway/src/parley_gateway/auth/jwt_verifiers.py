"""JWT verifiers: HS256 with a shared secret, or RS256/ES256 with an issuer's published keys.

The algorithm comes from the settings or the key, never from the token (RFC 8725, section 3.1).
"""

from typing import Any, Protocol

import jwt

from parley_core.auth.jwt_decoding import decode_jwt, unverified_header
from parley_gateway.auth.jwks import ALGORITHMS
from parley_gateway.auth.jwks_client import JWKSClient
from parley_gateway.auth.token_settings import JWTSettings

LEEWAY_SECONDS = 30

_CODEC = jwt.PyJWT()


class InvalidToken(Exception):
    """The token is rejected; the message gives the reason without quoting the token."""


class JWTVerifier(Protocol):
    async def verify(self, token: str) -> dict[str, Any]:
        """The token's claims. Raises InvalidToken, or Unavailable when no key can be fetched."""


class SharedSecretVerifier:
    """HS256. Issuer and audience are checked where they are configured."""

    def __init__(self, secret: str, *, issuer: str | None, audience: str | None) -> None:
        self.secret, self._issuer, self._audience = secret, issuer, audience

    async def verify(self, token: str) -> dict[str, Any]:
        _header(token, "HS256")
        return _decode(token, self.secret, "HS256", self._issuer, self._audience)


class JWKSVerifier:
    """RS256 or ES256, according to the key that the token names."""

    def __init__(self, keys: JWKSClient, *, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    async def verify(self, token: str) -> dict[str, Any]:
        header = _header(token, *ALGORITHMS)
        key = await self._keys.find(header.get("kid"), header["alg"])
        if key is None:
            raise InvalidToken("The token is signed with an unknown key.")
        return _decode(token, key.key, key.algorithm_name, self._issuer, self._audience)


def jwt_verifier(settings: JWTSettings, keys: JWKSClient | None) -> JWTVerifier:
    """The verifier of the settings; `keys` are those of the issuer, if they name one."""
    issuer, audience = settings.issuer, settings.audience
    if keys is None:
        # Ensured by the settings, as are issuer and audience of a key set.
        assert settings.secret is not None
        secret = settings.secret.get_secret_value()
        return SharedSecretVerifier(secret, issuer=issuer, audience=audience)
    assert issuer is not None
    assert audience is not None
    return JWKSVerifier(keys, issuer=issuer, audience=audience)


def _header(token: str, *algorithms: str) -> dict[str, Any]:
    """The unverified header, whose `alg` is one of the algorithms. Raises InvalidToken."""
    try:
        header = unverified_header(token)
    except jwt.PyJWTError:
        raise InvalidToken("The token is malformed.") from None
    if header["alg"] not in algorithms:
        raise InvalidToken(f"The token must be signed with {' or '.join(algorithms)}.")
    return header


def _decode(
    token: str, key: Any, algorithm: str, issuer: str | None, audience: str | None
) -> dict[str, Any]:
    try:
        return decode_jwt(
            _CODEC,
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
    except jwt.ImmatureSignatureError:
        raise InvalidToken(
            "The token is not valid yet: its iat or nbf is in the future. Compare the clocks of "
            "its issuer and of this server."
        ) from None
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
        raise InvalidToken("Invalid issuer or audience.") from None
    except jwt.MissingRequiredClaimError as error:
        raise InvalidToken(f"The token has no {error.claim} claim.") from None
    except jwt.PyJWTError:
        raise InvalidToken("The token is malformed or its signature is invalid.") from None
