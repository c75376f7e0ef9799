"""All public routes, and whether the process is there to serve them."""

import inspect
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from parley_gateway.http.forwarding import Handler, Routes
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts


def routes(groups: Sequence[Routes]) -> Sequence[Route]:
    """One for each path, so that a method that it has not is told which ones it has."""
    return [
        Route(path, _ByMethod(handlers), methods=list(handlers))
        for group in groups
        for path, handlers in group.items()
    ]


def health_routes(parts: Parts, streams: StreamLimiter, *, ready_seconds: float) -> Routes:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if streams.draining:
            return JSONResponse({"status": "stopping", "missing": []}, 503)
        if missing := await parts.peers.missing(ready_seconds):
            return JSONResponse({"status": "unavailable", "missing": missing}, 503)
        return JSONResponse({"status": "ok"})

    return {"/healthz": {"GET": healthz}, "/readyz": {"GET": readyz}}


class _ByMethod:
    """An ASGI application: a request's handler by its method."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._apps = {method: _app(handler) for method, handler in handlers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._apps[method](scope, receive, send)


def _app(handler: Handler) -> ASGIApp:
    if inspect.isroutine(handler):
        return request_response(handler)
    return handler  # type: ignore[return-value]
