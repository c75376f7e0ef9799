"""Principal token: a JWT, valid for 60 seconds, that states on whose behalf a service calls."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import jwt

from parley_core.auth.jwt_decoding import decode_jwt_with_any

LIFETIME_SECONDS = 60
# Leeway for an issuer whose clock runs ahead; a clock that runs behind shortens the lifetime.
CLOCK_SKEW_SECONDS = 5
MIN_SECRET_BYTES = 32

_SERVICE_TENANT = "parley"
_ALGORITHM = "HS256"
_CLAIMS = ("iss", "aud", "tenant", "sub", "scopes", "exp", "iat")
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
class Credential:
    """What a token says of itself: its `jti`, and when it was issued, in seconds of Unix time.

    None stands for a claim that it lacks. An API key has the time of its creation, and `limits` of
    its own, by name.
    """

    token_id: str | None = None
    issued_at: float | None = None
    limits: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Principal:
    """An authenticated user of a tenant, and the scopes granted to them.

    `models` are those that they may use, None for all. `api_key` is the id of the API key that a
    program of theirs sent. `credential` is what the gateway received; other services do not get it.
    """

    tenant: str
    user: str
    scopes: frozenset[str] = frozenset()
    models: frozenset[str] | None = None
    api_key: str | None = None
    credential: Credential = field(default=Credential(), compare=False)

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    @property
    def is_service(self) -> bool:
        """Whether it is a service that calls in its own name."""
        return self == service_principal(self.user)


def service_principal(service: str) -> Principal:
    """The principal of a service in its own name, on nobody's behalf."""
    return Principal(_SERVICE_TENANT, service)


class InternalSecret:
    """The HMAC secrets, shared by all services, of principal tokens: the first signs, all verify.

    There are two while one replaces the other, process by process.
    """

    def __init__(self, *values: bytes) -> None:
        if not values or any(len(value) < MIN_SECRET_BYTES for value in values):
            raise ValueError(
                f"PARLEY_INTERNAL_SECRET should be at least {MIN_SECRET_BYTES} random bytes, "
                "the same for every service (try: openssl rand -hex 32), or two of them: new,old"
            )
        self.values = values

    def __repr__(self) -> str:
        return f"InternalSecret({len(self.values)} values)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InternalSecret) and self.values == other.values

    __hash__ = None  # type: ignore[assignment]  # `replace` changes it.

    @property
    def value(self) -> bytes:
        """The one that signs."""
        return self.values[0]

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Parse PARLEY_INTERNAL_SECRET; raises ValueError that describes the expected form."""
        return cls(*(value.strip().encode() for value in setting.split(",")))

    def replace(self, other: "InternalSecret") -> None:
        """Use the values of another one from now on, everywhere."""
        self.values = other.values


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """The claims of a token with a valid signature; times are seconds of Unix time."""

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


def sign_principal(
    principal: Principal, secret: InternalSecret, *, issuer: str, audience: str, now: datetime
) -> str:
    """Issue a token for calls from `issuer` to `audience`, valid for 60 seconds."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "tenant": principal.tenant,
        "sub": principal.user,
        "scopes": sorted(principal.scopes),
        **({} if principal.models is None else {"models": sorted(principal.models)}),
        **({} if principal.api_key is None else {"api_key": principal.api_key}),
        "iat": issued_at,
        "exp": issued_at + LIFETIME_SECONDS,
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
    """Verify a token and its times, and return its principal; raises InvalidPrincipal."""
    verified = decode_principal_token(token, secret, issuers=issuers, audience=audience)
    verified.check_times(now)
    return verified.principal


def decode_principal_token(
    token: str, secret: InternalSecret, *, issuers: Collection[str], audience: str
) -> VerifiedToken:
    """Verify a token except for its times; raises InvalidPrincipal."""
    try:
        claims = decode_jwt_with_any(
            _CODEC, token, secret.values, algorithms=[_ALGORITHM], audience=audience
        )
    except jwt.PyJWTError as error:
        # Only the class of the error: some messages of PyJWT quote the token.
        raise InvalidPrincipal(f"invalid principal token: {type(error).__name__}") from None
    if claims["iss"] not in issuers:
        raise InvalidPrincipal("invalid principal token: issuer not allowed")
    issued_at, expires_at = claims["iat"], claims["exp"]
    if type(issued_at) is not int or type(expires_at) is not int:
        raise InvalidPrincipal("invalid principal token: iat and exp must be integers")
    return VerifiedToken(_principal(claims), issued_at, expires_at)


def _principal(claims: dict[str, Any]) -> Principal:
    tenant, user, scopes = claims["tenant"], claims["sub"], claims["scopes"]
    named = isinstance(tenant, str) and isinstance(user, str) and tenant and user
    if not named or not _are_strings(scopes):
        raise InvalidPrincipal("invalid principal token: malformed tenant, sub or scopes")
    models, api_key = claims.get("models"), claims.get("api_key")
    if not (models is None or _are_strings(models)) or not isinstance(api_key, str | None):
        raise InvalidPrincipal("invalid principal token: malformed models or api_key")
    allowed = None if models is None else frozenset(models)
    return Principal(tenant, user, frozenset(scopes), allowed, api_key)


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
