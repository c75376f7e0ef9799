"""Authenticates calls between services by principal token, and lets only listed services call."""

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_core.auth.caller import Caller
from parley_core.auth.principal_token import InvalidPrincipal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_core.auth.request_origin import origin_of
from parley_core.auth.service_keys import ServiceKeys
from parley_core.http.errors import Forbidden, Unauthenticated

SERVICE_NOT_ALLOWED = "service_not_allowed"

AllowedServices = Mapping[str, Set[str]]
"""The services that may call each route, by method and path: `POST /keys`."""


class ServiceAuthenticator:
    """Verifies the principal token of each call to `service`, and who may call its routes."""

    def __init__(
        self,
        keys: ServiceKeys,
        allowed: AllowedServices,
        *,
        service: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = PrincipalVerifier(keys, audience=service)
        self._allowed, self._service, self._clock = allowed, service, clock

    def authenticated(self, routes: Sequence[Route]) -> list[Route]:
        """The routes, each for the services in the table only; `caller_of` has who called.

        Raises KeyError for a route without an entry.
        """
        return [self._authenticated(route) for route in routes]

    def _authenticated(self, route: Route) -> Route:
        (method,) = (route.methods or set()) - {"HEAD"}
        services, endpoint = self._allowed[f"{method} {route.path}"], route.endpoint

        async def authenticated(request: Request) -> Response:
            self._authenticate(request, services)
            response: Response = await endpoint(request)
            return response

        return Route(route.path, authenticated, methods=[method])

    def _authenticate(self, request: Request, services: Set[str]) -> None:
        """Raises Unauthenticated, Forbidden."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("A principal token is required.")
        try:
            verified = self._tokens.verify(token, self._clock())
        except InvalidPrincipal as invalid:
            reason = str(invalid)
            raise Unauthenticated(f"{reason[0].upper()}{reason[1:]}.") from None
        state = request.scope.setdefault("state", {})
        state["principal"], state["calling_service"] = verified.principal, verified.service
        if verified.service not in services:
            raise Forbidden(
                f"The service {verified.service} may not make this call to {self._service}.",
                code=SERVICE_NOT_ALLOWED,
            )


def caller_of(request: Request) -> Caller:
    """The caller of a request to an authenticated route."""
    return Caller(request.scope["state"]["principal"], request_id(request), *origin_of(request))


def calling_service(request: Request) -> str:
    """The service whose key has signed a request to an authenticated route."""
    return str(request.scope["state"]["calling_service"])


def request_id(request: Request) -> str:
    """Return the ID that RequestObserver assigned to the request."""
    return str(request.scope["state"]["request_id"])
