"""Exception handlers and request ids that every HTTP application of Parley installs."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.http.errors import (
    REQUEST_ID,
    Conflict,
    Forbidden,
    NotFound,
    ParleyError,
    Unauthenticated,
    error_body,
)

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def install_error_handlers(app: Starlette) -> None:
    """Answer every exception of a Starlette or FastAPI application with the one error shape."""
    app.add_exception_handler(ParleyError, _on_parley_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected_error)


def error_response(request: Request, error: ParleyError) -> Response:
    """Return the response of an error, for custom exception handlers."""
    body = error_body(
        error.message, type=error.type, code=error.code, param=error.param, details=error.details
    )
    return _respond(request, error.status, body, error.headers)


class RequestIdMiddleware:
    """Gives each request an id: `scope["state"]["request_id"]` and the x-request-id header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = offered if _SANE_REQUEST_ID.fullmatch(offered) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


async def _on_parley_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ParleyError)
    return error_response(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    # The phrase and not the detail, because a framework's detail may quote the request.
    body = error_body(
        f"{status.phrase}.",
        type=_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        code=status.name.lower(),
    )
    return _respond(request, status, body, error.headers or {})


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    del error  # The server logs it; the client gets the request id only.
    return error_response(request, ParleyError("Internal server error."))


def _respond(request: Request, status: int, body: Any, headers: Mapping[str, str]) -> Response:
    # Starlette sends a 500 outside of all added middleware, so the request id is set here too.
    request_id = request.scope.get("state", {}).get("request_id") or uuid4().hex
    return JSONResponse(body, status, headers={**headers, REQUEST_ID: request_id})


_TYPES = {kind.status: kind.type for kind in (Unauthenticated, Forbidden, NotFound, Conflict)}
