"""The principal token: in whose name one service calls another, good for a minute."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import jwt

LIFETIME_SECONDS = 60
# Only for a caller whose clock runs ahead; one that runs behind spends its lifetime instead.
CLOCK_AHEAD_SECONDS = 5
SECRET_BYTES = 32

_ALGORITHM = "HS256"
_CLAIMS = ("iss", "aud", "tenant", "sub", "scopes", "exp", "iat")
# Times are checked here, against the clock that the caller passes.
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
    """The token proves nothing; the message says why without repeating it."""


@dataclass(frozen=True)
class Principal:
    """A person, as (tenant, user), and what they may do."""

    tenant: str
    user: str
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class InternalSecret:
    """The secret that all services share to sign principals."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < SECRET_BYTES:
            raise ValueError(
                f"PARLEY_INTERNAL_SECRET should be at least {SECRET_BYTES} random bytes, "
                "the same for every service (try: openssl rand -hex 32)"
            )

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Read PARLEY_INTERNAL_SECRET; raises ValueError with what it should look like."""
        return cls(setting.encode())


@dataclass(frozen=True, slots=True)
class Signed:
    """What a token says whose signature was verified; times are seconds of Unix time."""

    principal: Principal
    issued: int
    expires: int

    def check_times(self, now: datetime) -> None:
        """Raises InvalidPrincipal."""
        _check_times(self.issued, self.expires, now.timestamp())


def sign_principal(
    principal: Principal, secret: InternalSecret, *, issuer: str, audience: str, now: datetime
) -> str:
    """A token for calls from `issuer` to `audience`, good for 60 seconds."""
    issued = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "tenant": principal.tenant,
        "sub": principal.user,
        "scopes": sorted(principal.scopes),
        "iat": issued,
        "exp": issued + LIFETIME_SECONDS,
    }
    return _CODEC.encode(claims, secret.value, algorithm=_ALGORITHM)


def verify_principal(
    token: str,
    secret: InternalSecret,
    *,
    issuers: Collection[str],
    audience: str,
    now: datetime,
) -> Principal:
    """Who the call is made for; raises InvalidPrincipal."""
    signed = open_principal(token, secret, issuers=issuers, audience=audience)
    signed.check_times(now)
    return signed.principal


def open_principal(
    token: str, secret: InternalSecret, *, issuers: Collection[str], audience: str
) -> Signed:
    """What the token says, whose times are still to be checked; raises InvalidPrincipal."""
    try:
        claims = _CODEC.decode(token, secret.value, algorithms=[_ALGORITHM], audience=audience)
    except (jwt.PyJWTError, ValueError) as error:
        # The class alone: some of PyJWT's sentences repeat what the token says.
        raise InvalidPrincipal(f"principal token refused: {type(error).__name__}") from None
    if not isinstance(claims["iss"], str) or claims["iss"] not in issuers:
        raise InvalidPrincipal("principal token refused: no service that may call signed it")
    issued, expires = claims["iat"], claims["exp"]
    if type(issued) is not int or type(expires) is not int:
        raise InvalidPrincipal("principal token refused: its times are not whole seconds")
    return Signed(_principal(claims), issued, expires)


def _check_times(issued: int, expires: int, now: float) -> None:
    if expires - issued > LIFETIME_SECONDS:
        raise InvalidPrincipal(f"principal token refused: lives over {LIFETIME_SECONDS} seconds")
    if now >= expires:
        raise InvalidPrincipal("principal token refused: expired")
    if issued > now + CLOCK_AHEAD_SECONDS:
        raise InvalidPrincipal("principal token refused: issued in the future")


def _principal(claims: dict[str, Any]) -> Principal:
    tenant, user, scopes = claims["tenant"], claims["sub"], claims["scopes"]
    named = isinstance(tenant, str) and isinstance(user, str) and tenant and user
    if not named or not isinstance(scopes, list) or not all(isinstance(s, str) for s in scopes):
        raise InvalidPrincipal("principal token refused: tenant, sub or scopes are malformed")
    return Principal(tenant=tenant, user=user, scopes=frozenset(scopes))
