"""Authenticates calls between services by principal token."""

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request

from parley_core.auth.principal import InternalSecret, InvalidPrincipal, Principal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_core.http.errors import Unauthenticated


class ServiceAuthenticator:
    """Verifies the principal token of a request to `audience`, signed by one of `issuers`.

    Serves as a FastAPI dependency and as a plain call. Raises Unauthenticated.
    """

    def __init__(
        self,
        secret: InternalSecret,
        *,
        audience: str,
        issuers: frozenset[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = PrincipalVerifier(secret, issuers=issuers, audience=audience)
        self._clock = clock

    def __call__(self, request: Request) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("A principal token is required.")
        try:
            principal = self._tokens.verify(token, self._clock())
        except InvalidPrincipal as invalid:
            reason = str(invalid)
            raise Unauthenticated(f"{reason[0].upper()}{reason[1:]}.") from None
        request.scope.setdefault("state", {})["principal"] = principal
        return principal


def request_id(request: Request) -> str:
    """Return the ID that RequestObserver assigned to the request."""
    return str(request.scope["state"]["request_id"])
