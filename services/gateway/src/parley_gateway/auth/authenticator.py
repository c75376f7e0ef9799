"""Who calls: the bearer token of a request as the person it stands for."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from parley_core.auth.principal import Principal
from parley_core.http.errors import Unauthenticated
from parley_core.http.service_auth import request_id
from parley_gateway.auth.jwt_verifiers import InvalidToken, JWTVerifier
from parley_gateway.auth.token_cache import VerifiedTokenCache

DEFAULT_TENANT = "default"
LONGEST_TOKEN = 16 * 1024
LONGEST_NAME = 255
LONGEST_SCOPE = 2_048


@dataclass(frozen=True, slots=True)
class Caller:
    """In whose name a request is made, and its id, to pass on; the ticket that says so, if any."""

    principal: Principal
    request_id: str
    ticket: str | None = field(default=None, repr=False)


class Authenticator:
    """Raises Unauthenticated, or Unavailable when there is nothing to verify with."""

    def __init__(self, tokens: JWTVerifier, verified: VerifiedTokenCache) -> None:
        self._tokens, self._verified = tokens, verified

    async def __call__(self, request: Request) -> Caller:
        header = request.headers.get("authorization", "")
        # As it came: Starlette reads headers as Latin-1.
        sent = header.encode("latin-1")
        if (verified := self._verified.find(sent)) is not None:
            return Caller(verified.principal, request_id(request))
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("This call needs a bearer token in its Authorization header.")
        try:
            if len(token) > LONGEST_TOKEN:
                raise InvalidToken(f"The token has over {LONGEST_TOKEN} characters.")
            claims = await self._tokens.claims_of(token.strip())
            principal = principal_of(claims)
        except InvalidToken as refused:
            # RFC 6750, section 3: what is wrong is the token, not that there is none.
            raise Unauthenticated(
                str(refused),
                code="invalid_token",
                headers={"www-authenticate": 'Bearer error="invalid_token"'},
            ) from None
        self._verified.keep(sent, principal, float(claims["exp"]))
        return Caller(principal, request_id(request))


def principal_of(claims: dict[str, Any]) -> Principal:
    """The person whom verified claims name. Raises InvalidToken."""
    user, tenant = claims.get("sub"), claims.get("tenant", DEFAULT_TENANT)
    for claim, name in (("sub", user), ("tenant", tenant)):
        if not isinstance(name, str) or not _is_a_name(name):
            raise InvalidToken(
                f"The token's {claim} is not 1 to {LONGEST_NAME} printable characters."
            )
    scope = claims.get("scope", "")
    if not isinstance(scope, str) or not scope.isascii() or len(scope) > LONGEST_SCOPE:
        raise InvalidToken(f"The token's scope is not up to {LONGEST_SCOPE} ASCII characters.")
    return Principal(str(tenant), str(user), frozenset(scope.split()))


def _is_a_name(text: str) -> bool:
    # Unprintable are also NUL, which Postgres does not store, and half a surrogate pair.
    return 1 <= len(text) <= LONGEST_NAME and text.isprintable()
