"""Spans of requests: which of them start a trace, and which continue that of their caller."""

from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from parley_core.http.connection_limits import Network, is_within
from parley_core.tracing.spans import NO_SPAN, Span, continued_trace, is_tracing, new_trace
from parley_core.tracing.trace_context import TraceContext, parse_trace_context

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

BeginSpan = Callable[[Scope], Span]
"""Returns the span of a request, which `finish_request_span` names at the end."""


def internal_span(scope: Scope) -> Span:
    """Part of the trace of the calling service; nothing without one, as for a heartbeat."""
    if not is_tracing():
        return NO_SPAN
    return continued_trace(scope["method"], "server", _caller(scope))


class EntrySpans:
    """Spans of requests from outside: each starts a trace, except those of trusted proxies, which
    continue theirs.

    The trace of anybody else is linked: its ids may be made up, and its sampling flag would let
    clients decide what is recorded.
    """

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted_proxies = trusted_proxies

    def __call__(self, scope: Scope) -> Span:
        if not is_tracing():
            return NO_SPAN
        caller, client = _caller(scope), scope.get("client")
        if caller and client and is_within(client[0], self._trusted_proxies):
            return continued_trace(scope["method"], "server", caller)
        return new_trace(scope["method"], "server", caller)


def finish_request_span(
    span: Span, *, method: str, route: str | None, status: int, code: str | None, request_id: str
) -> None:
    """Set the name and the attributes of the HTTP conventions; no path, which may be anything.

    `route` is None for a path that no route has.
    Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
    """
    if not span.recording:
        return
    name = method if method in _METHODS else "HTTP"
    span.rename(name if route is None else f"{name} {route}")
    attributes: dict[str, str | int] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "http.response.status_code": status,
        "parley.request_id": request_id,
    }
    if route is not None:
        attributes["http.route"] = route
    span.set(attributes)
    if code is not None:
        span.set({"error.type": code})
    if status >= 500:
        span.fail(code or str(status))


def _caller(scope: Scope) -> TraceContext | None:
    headers = Headers(scope=scope)
    given = headers.getlist("traceparent")
    if len(given) != 1:
        return None
    return parse_trace_context(given[0], ",".join(headers.getlist("tracestate")))
