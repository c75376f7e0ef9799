"""Who may call a service's routes: another service, in the name of the person it says."""

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request

from parley_core.auth.principal import InternalSecret, InvalidPrincipal, Principal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_core.http.errors import Unauthenticated


class ServiceAuthenticator:
    """Verifies the principal token of a request to `audience`, signed by one of `issuers`.

    A FastAPI dependency (`Depends(guard)`) and a plain call alike. Raises Unauthenticated.
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
            raise Unauthenticated("This call needs a principal token.")
        try:
            return self._tokens.principal_of(token, self._clock())
        except InvalidPrincipal as refused:
            reason = str(refused)
            raise Unauthenticated(f"{reason[0].upper()}{reason[1:]}.") from None


def request_id(request: Request) -> str:
    """The id that RequestIdMiddleware gave the request, to pass on."""
    return str(request.scope["state"]["request_id"])
