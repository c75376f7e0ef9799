"""Exception handlers that every HTTP application of Parley installs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_core.http.errors import (
    REQUEST_ID,
    Conflict,
    Forbidden,
    NotFound,
    ParleyError,
    Unauthenticated,
    error_body,
)


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
    headers = error.headers
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE and error.code.endswith("_busy"):
        # A retry on this connection would reach the same busy process.
        headers = {**headers, "connection": "close"}
    return _respond(request, error.status, body, headers)


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
    state = request.scope.setdefault("state", {})
    # RequestObserver reports it.
    state["error_code"] = body["error"]["code"]
    # Starlette sends a 500 outside of all added middleware, so the request id is set here too.
    request_id = state.get("request_id") or uuid4().hex
    return JSONResponse(body, status, headers={**headers, REQUEST_ID: request_id})


_TYPES = {kind.status: kind.type for kind in (Unauthenticated, Forbidden, NotFound, Conflict)}
