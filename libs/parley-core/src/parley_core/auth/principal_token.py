"""Principal token: a JWT, valid for 60 seconds, that states on whose behalf a service calls.

The service that calls is the one whose key signed the token; no claim names it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import ServiceKeys, SigningKey

LIFETIME_SECONDS = 60
# Leeway for a caller whose clock runs ahead; a clock that runs behind shortens the lifetime.
CLOCK_SKEW_SECONDS = 5

_CLAIMS = ("aud", "tenant", "sub", "scopes", "exp", "iat")
# PyJWT's time checks are off: times are checked below, against the clock that the caller passes.
_CODEC = jwt.PyJWT(
    {
        "require": list(_CLAIMS),
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "strict_aud": True,
    }
)


class InvalidPrincipal(Exception):
    """The token is invalid; the message gives the reason without repeating the token."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token with a valid signature of `service`, which calls; times are seconds of Unix time."""

    service: str
    principal: Principal
    issued_at: int
    expires_at: int

    def check_times(self, now: datetime) -> None:
        """Raises InvalidPrincipal for a token that is expired, too long-lived or premature."""
        seconds = now.timestamp()
        if self.expires_at - self.issued_at > LIFETIME_SECONDS:
            raise InvalidPrincipal(f"invalid principal token: lives over {LIFETIME_SECONDS} s")
        if seconds >= self.expires_at:
            raise InvalidPrincipal("invalid principal token: expired")
        if self.issued_at > seconds + CLOCK_SKEW_SECONDS:
            raise InvalidPrincipal("invalid principal token: issued in the future")


def sign_principal(principal: Principal, key: SigningKey, *, audience: str, now: datetime) -> str:
    """Issue a token for calls of the key's service to `audience`, valid for 60 seconds."""
    issued_at = int(now.timestamp())
    optional = {
        "models": None if principal.models is None else sorted(principal.models),
        "api_key": principal.api_key,
        "pseudonym": principal.pseudonym,
    }
    claims = {
        "aud": audience,
        "tenant": principal.tenant,
        "sub": principal.user,
        "scopes": sorted(principal.scopes),
        **{name: value for name, value in optional.items() if value is not None},
        "iat": issued_at,
        "exp": issued_at + LIFETIME_SECONDS,
    }
    return key.sign(_CODEC, claims)


def decode_principal_token(token: str, keys: ServiceKeys, *, audience: str) -> VerifiedToken:
    """Verify a token except for its times; raises InvalidPrincipal."""
    try:
        service, claims = keys.decode(_CODEC, token, audience)
    except jwt.PyJWTError as error:
        # Only the class of the error: some messages of PyJWT quote the token.
        raise InvalidPrincipal(f"invalid principal token: {type(error).__name__}") from None
    issued_at, expires_at = claims["iat"], claims["exp"]
    if type(issued_at) is not int or type(expires_at) is not int:
        raise InvalidPrincipal("invalid principal token: iat and exp must be integers")
    return VerifiedToken(service, _principal(claims), issued_at, expires_at)


def _principal(claims: dict[str, Any]) -> Principal:
    tenant, user, scopes = claims["tenant"], claims["sub"], claims["scopes"]
    named = isinstance(tenant, str) and isinstance(user, str) and tenant and user
    if not named or not _are_strings(scopes):
        raise InvalidPrincipal("invalid principal token: malformed tenant, sub or scopes")
    models = claims.get("models")
    api_key, pseudonym = claims.get("api_key"), claims.get("pseudonym")
    are_optional = isinstance(api_key, str | None) and isinstance(pseudonym, str | None)
    if not are_optional or not (models is None or _are_strings(models)):
        raise InvalidPrincipal("invalid principal token: malformed models, api_key or pseudonym")
    allowed = None if models is None else frozenset(models)
    return Principal(tenant, user, frozenset(scopes), allowed, api_key, pseudonym=pseudonym)


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
