"""Verifies bearer tokens: signed with the development secret, or by one of the token issuers.

The algorithm comes from the settings or the key, never from the token (RFC 8725, section 3.1).
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import jwt

from parley_contracts.session_api.limits import MAX_TOKEN_LIFETIME_SECONDS
from parley_core.auth.jwt_decoding import decode_jwt, unverified_header
from parley_core.auth.principal import Credential, Principal
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.oidc.claim_mapping import DEVELOPMENT_MAPPING, ClaimMapping
from parley_gateway.auth.oidc.issuer_keys import IssuerKeys
from parley_gateway.auth.oidc.issuers_file import Issuer

LEEWAY_SECONDS = 30

_CODEC = jwt.PyJWT()


class Verified(NamedTuple):
    """`expires_at` is Unix time in seconds."""

    principal: Principal
    expires_at: float


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Verified:
        """Raises InvalidToken, or Unavailable when no key can be fetched."""


class SharedSecretVerifier:
    """HS256 with PARLEY_JWT_SECRET, for development."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    async def verify(self, token: str) -> Verified:
        _header(token, ["HS256"])
        claims = _decode(token, self.secret, "HS256", require=["exp", "sub"])
        return _verified(claims, DEVELOPMENT_MAPPING)


class IssuerVerifier:
    """Verifies a token as its issuer's entry in the file of issuers says."""

    def __init__(self, keys: IssuerKeys, issuers: Sequence[Issuer]) -> None:
        self._keys = keys
        self.use(issuers)

    def use(self, issuers: Sequence[Issuer]) -> None:
        """Accept the tokens of these issuers from now on."""
        self._keys.use(issuers)
        self._by_url = {issuer.issuer: issuer for issuer in issuers}

    async def verify(self, token: str) -> Verified:
        issuer = self._by_url.get(_unverified_issuer(token))
        if issuer is None:
            raise InvalidToken("The issuer of the token is not accepted.", "issuer")
        header = _header(token, sorted(issuer.keys.algorithms))
        key = await self._keys.of(issuer.name).find(header.get("kid"), header["alg"])
        if self._by_url.get(issuer.issuer) != issuer:
            # A reload removed or changed the issuer while its keys were fetched.
            return await self.verify(token)
        if key is None:
            raise InvalidToken("The token is signed with an unknown key.", "key")
        claims = _decode(
            token,
            key.key,
            key.algorithm_name,
            require=["exp", "iss", "aud"],
            issuer=issuer.issuer,
            audience=[*issuer.audiences],
        )
        issuer.token_kind.check(header, claims, tuple(issuer.audiences))
        return _verified(claims, issuer.mapping)


def _verified(claims: dict[str, Any], mapping: ClaimMapping) -> Verified:
    """Raises InvalidToken."""
    token_id, issued_at, expires_at = claims.get("jti"), claims.get("iat"), float(claims["exp"])
    begins_at = time.time() + LEEWAY_SECONDS if issued_at is None else issued_at
    # Its revocation is not known for longer.
    if expires_at - begins_at > MAX_TOKEN_LIFETIME_SECONDS:
        days = MAX_TOKEN_LIFETIME_SECONDS // 86_400
        raise InvalidToken(f"The token is valid for longer than {days} days.", "claims")
    credential = Credential(token_id, issued_at)
    return Verified(replace(mapping.principal(claims), credential=credential), expires_at)


def _unverified_issuer(token: str) -> str:
    """The `iss` claim, by which the keys are chosen that must verify it. Raises InvalidToken."""
    try:
        claims = decode_jwt(_CODEC, token, None, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise InvalidToken("The token is malformed.", "malformed") from None
    return str(claims.get("iss", ""))


def _header(token: str, algorithms: Sequence[str]) -> dict[str, Any]:
    """The unverified header, whose `alg` is one of the algorithms. Raises InvalidToken."""
    try:
        header = unverified_header(token)
    except jwt.PyJWTError:
        raise InvalidToken("The token is malformed.", "malformed") from None
    if header["alg"] not in algorithms:
        raise InvalidToken(f"The token must be signed with {' or '.join(algorithms)}.", "key")
    return header


def _decode(
    token: str,
    key: Any,
    algorithm: str,
    *,
    require: Sequence[str],
    issuer: str | None = None,
    audience: Sequence[str] | None = None,
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
            options={"require": [*require], "verify_aud": audience is not None},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidToken("The token has expired.", "expired") from None
    except jwt.ImmatureSignatureError:
        raise InvalidToken(
            "The token is not valid yet: its iat or nbf is in the future. Compare the clocks of "
            "its issuer and of this server.",
            "clock",
        ) from None
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
        raise InvalidToken("Invalid issuer or audience.", "audience") from None
    except jwt.MissingRequiredClaimError as error:
        raise InvalidToken(f"The token has no {error.claim} claim.", "claims") from None
    except jwt.PyJWTError:
        raise InvalidToken(
            "The token is malformed or its signature is invalid.", "malformed"
        ) from None
