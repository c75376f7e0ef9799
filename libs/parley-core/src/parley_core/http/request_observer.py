"""Request observer: gives each request its id, and records it in metrics, a log line and a span."""

import logging
import re
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token_cache import PseudonymOf, received_pseudonym
from parley_core.http.errors import REQUEST_ID
from parley_core.process.request_metrics import RequestMetrics
from parley_core.runtime.request_context import begin_request
from parley_core.tracing.request_spans import BeginSpan, finish_request_span, internal_span
from parley_core.tracing.spans import NO_SPAN, Span

UNMATCHED = "unmatched"
# nginx's: the client closed the connection before it had a response.
CLIENT_CLOSED = 499
_PROBES = frozenset(("/livez", "/readyz", "/startupz", "/metrics", "/status"))
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

log = logging.getLogger("parley.access")


class RequestObserver:
    """Sets `scope["state"]["request_id"]` and the x-request-id header.

    A log line has the route and no path, no query, no header and no body; a person is a pseudonym,
    which the gateway gives to the other services. Successful requests to `quiet_routes` are not
    logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        pseudonym_of: PseudonymOf = received_pseudonym,
        quiet_routes: frozenset[str] = frozenset(),
        begin_span: BeginSpan = internal_span,
        client_address: Callable[[Scope], str | None] = lambda _: None,
        on_response: Callable[[Scope, int], None] = lambda _, __: None,
    ) -> None:
        """`on_response` is called with the scope and the status of each response."""
        self._app, self._metrics, self._pseudonym_of = app, metrics, pseudonym_of
        self._quiet_routes = quiet_routes | _PROBES
        self._begin_span, self._client_address = begin_span, client_address
        self._on_response = on_response
        self._templates: dict[Any, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with NO_SPAN if scope["path"] in _PROBES else self._begin_span(scope) as span:
            await self._observe(scope, receive, send, span)

    async def _observe(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        offered = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = offered if _SANE_REQUEST_ID.fullmatch(offered) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        client_address = self._client_address(scope)
        begin_request(request_id, client_address)
        started_at, status, sent, is_stream = perf_counter(), CLIENT_CLOSED, 0, False

        async def observed_send(message: Message) -> None:
            nonlocal status, sent, is_stream
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                status = message["status"]
                is_stream = headers.get("content-type", "").startswith("text/event-stream")
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except Exception:
            # Starlette's outermost middleware responds to it, after this one.
            status = 500 if status == CLIENT_CLOSED else status
            raise
        finally:
            seconds = perf_counter() - started_at
            route = self._route_of(scope)
            code = scope["state"].get("error_code")
            self._on_response(scope, status)
            self._metrics.observe_request(scope["method"], route, status, code, seconds)
            finish_request_span(
                span,
                method=scope["method"],
                route=None if route == UNMATCHED else route,
                status=status,
                code=code,
                request_id=request_id,
            )
            if status >= 400 or route not in self._quiet_routes:
                fields = {
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "code": code,
                    "seconds": round(seconds, 4),
                    "bytes": sent,
                    "kind": "stream" if is_stream else "response",
                    "client": client_address,
                    **self._ids_in(scope),
                }
                log_request(fields)

    def _route_of(self, scope: Scope) -> str:
        """The template of the matched route: FastAPI sets the route, Starlette the endpoint."""
        if (template := getattr(scope.get("route"), "path", None)) is not None:
            return str(template)
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return UNMATCHED
        if endpoint not in self._templates:
            self._templates = {
                # A mounted application, such as static files, is its own endpoint.
                getattr(each, "endpoint", None) or getattr(each, "app", None): str(
                    getattr(each, "path", UNMATCHED)
                )
                # Of routes that share an endpoint, the first one names it.
                for each in reversed(scope["app"].routes)
            }
        return self._templates.get(endpoint, UNMATCHED)

    def _ids_in(self, scope: Scope) -> Mapping[str, str]:
        ids = {
            name: str(value)
            for name, value in scope.get("path_params", {}).items()
            if name in ("session_id", "turn_id")
        }
        if service := scope["state"].get("calling_service"):
            ids["calling_service"] = service
        principal = scope["state"].get("principal")
        if isinstance(principal, Principal):
            ids["tenant"] = principal.tenant
            if person := self._pseudonym_of(principal):
                ids["person"] = person
        return ids


def log_request(fields: Mapping[str, Any]) -> None:
    """Write the log line of one request."""
    known = {name: value for name, value in fields.items() if value is not None}
    log.info("request", extra={"fields": known})
