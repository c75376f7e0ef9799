"""Authenticates the callers of the routes: which services may call, and in whose name."""

from collections.abc import Callable

from starlette.requests import Request

from parley_core.auth.caller import Caller
from parley_core.auth.principal import InternalSecret
from parley_core.auth.request_origin import origin_of
from parley_core.http.service_auth import ServiceAuthenticator, request_id

AuthenticateCaller = Callable[[Request], Caller]
"""Raises Unauthenticated."""


class Authenticators:
    """One per set of services that may call a route."""

    def __init__(self, secret: InternalSecret) -> None:
        def admitting(*services: str) -> AuthenticateCaller:
            authenticate = ServiceAuthenticator(
                secret, audience="session", issuers=frozenset(services)
            )
            return lambda request: Caller(
                authenticate(request), request_id(request), *origin_of(request)
            )

        self.gateway = admitting("gateway")
        self.inference = admitting("inference")
        self.history = admitting("history")
        self.gateway_or_inference = admitting("gateway", "inference")
        self.gateway_or_history = admitting("gateway", "history")
        self.history_or_cli = admitting("history", "cli")
