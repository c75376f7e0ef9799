"""The one shape of every error answer: {"error": {"message", "type", "param", "code"}}."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import uuid4

from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "x-request-id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LONGEST_PARAM = 256


class ParleyError(Exception):
    """An answer that is an error; each kind carries its status. Messages are read by clients."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.param = param
        self.headers = dict(headers or {})


class InvalidRequest(ParleyError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class Unauthenticated(ParleyError):
    status, type, code = 401, "authentication_error", "unauthenticated"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.headers.setdefault("www-authenticate", "Bearer")


class Forbidden(ParleyError):
    status, type, code = 403, "permission_error", "forbidden"


class NotFound(ParleyError):
    status, type, code = 404, "not_found_error", "not_found"


class Conflict(ParleyError):
    status, type, code = 409, "conflict_error", "conflict"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message, **fields)
        # The OpenAI SDK retries a bare 409.
        self.headers.setdefault("x-should-retry", "false")


class TooLarge(ParleyError):
    status, type, code = 413, "invalid_request_error", "too_large"


class IdempotencyKeyReused(ParleyError):
    status, type, code = 422, "idempotency_error", "idempotency_key_reused"


class Unavailable(ParleyError):
    status, type, code = 503, "server_error", "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.headers.setdefault("retry-after", str(retry_after_seconds))


def error_body(
    message: str, *, type: str, code: str | None = None, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    """The JSON of an error answer."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def install_error_handlers(app: Starlette) -> None:
    """Answer every error of a Starlette or FastAPI application in the one shape."""
    app.add_exception_handler(ParleyError, _on_parley_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_surprise)


def answer(request: Request, error: ParleyError) -> Response:
    """The answer that an error is, for an exception handler of one's own."""
    body = error_body(error.message, type=error.type, code=error.code, param=error.param)
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
    return answer(request, error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return answer(request, InvalidRequest(_complaint(first), param=_dotted(first)))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    # The phrase, not the detail: a framework's detail may quote the request.
    body = error_body(
        f"{status.phrase}.",
        type=_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        code=status.name.lower(),
    )
    return _respond(request, status, body, error.headers or {})


async def _on_surprise(request: Request, error: Exception) -> Response:
    del error  # The server logs it; the client learns only the request id.
    return answer(request, ParleyError("Something went wrong on our side."))


def _respond(request: Request, status: int, body: Any, headers: Mapping[str, str]) -> Response:
    # Set here as well: Starlette answers a 500 outside every middleware that was added.
    request_id = request.scope.get("state", {}).get("request_id") or uuid4().hex
    return JSONResponse(body, status, headers={**headers, REQUEST_ID: request_id})


def _dotted(problem: Mapping[str, Any]) -> str | None:
    location: Sequence[Any] = problem["loc"]
    if problem["type"] == "json_invalid":
        return None  # Its location is an offset into the body.
    inside = location[1:] or location  # The first part says body, query, path or header.
    return ".".join(str(part) for part in inside)[:_LONGEST_PARAM]


def _complaint(problem: Mapping[str, Any]) -> str:
    kind = problem["type"]
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    return f"{problem['msg']}." if kind in _INPUT_FREE else "This value is not accepted."


_TYPES = {kind.status: kind.type for kind in (Unauthenticated, Forbidden, NotFound, Conflict)}
_SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "This field is not known here.",
    "json_invalid": "The body is not valid JSON.",
    "uuid_parsing": "Input should be a valid UUID.",
}
# Kinds whose sentence pydantic builds from the schema alone; others may quote the input.
# fmt: off
_INPUT_FREE = frozenset((
    "string_type", "string_too_short", "string_too_long", "int_type", "int_parsing", "float_type",
    "bool_type", "bool_parsing", "greater_than", "greater_than_equal", "less_than", "enum",
    "less_than_equal", "literal_error", "list_type", "dict_type", "uuid_type", "model_type",
    "model_attributes_type",
))
# fmt: on
