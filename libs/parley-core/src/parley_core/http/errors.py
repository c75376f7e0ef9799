"""Errors of the HTTP APIs, all of one shape: {"error": {"message", "type", "param", "code"}}."""

import json
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

Result = TypeVar("Result")

REQUEST_ID = "x-request-id"
_ERROR_FIELDS = {"message", "type", "param", "code"}


class ParleyError(Exception):
    """An error response; each kind has its HTTP status.

    Clients see the message, and many of them nothing else: it names the `param`. The details
    are further fields beside it.
    """

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
        details: Mapping[str, Any] | None = None,
    ) -> None:
        if param is not None and param not in message:
            message = f"`{param}`: {message}"
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.param = param
        self.headers = dict(headers or {})
        self.details = dict(details or {})


class InvalidRequest(ParleyError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class Unauthenticated(ParleyError):
    status, type, code = 401, "authentication_error", "unauthenticated"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.headers.setdefault("www-authenticate", "Bearer")


class Forbidden(ParleyError):
    status, type, code = 403, "permission_error", "forbidden"


class ModelNotAllowed(Forbidden):
    code = "model_not_allowed"

    def __init__(self, model: str) -> None:
        super().__init__(f"This API key may not use the model {model}.", param="model")


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


class TooManyRequests(ParleyError):
    status, type, code = 429, "rate_limit_error", "too_many_requests"

    def __init__(self, message: str, *, retry_after_seconds: float = 1, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.headers = _retry_headers(retry_after_seconds) | self.headers


class Unavailable(ParleyError):
    status, type, code = 503, "server_error", "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float = 1, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.headers = _retry_headers(retry_after_seconds) | self.headers


def service_unavailable(service: str) -> Unavailable:
    """That service cannot be used, or does not answer as it should."""
    return Unavailable(
        f"The {service} service is unavailable. Please retry.", code=f"{service}_unavailable"
    )


def decode_response(body: bytes, decode: Callable[[bytes], Result], *, service: str) -> Result:
    """Raises Unavailable when `decode` raises ValueError, whose message may quote the body."""
    try:
        return decode(body)
    except ValueError:
        raise service_unavailable(service) from None


class ServiceError(ParleyError):
    """The error response of another service, forwarded unchanged."""

    def __init__(self, status: int, error: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(
            error["message"],
            headers=headers,
            details={name: error[name] for name in error.keys() - _ERROR_FIELDS},
        )
        self.param = error.get("param")
        self.status = status  # type: ignore[misc]
        self.type = error["type"]  # type: ignore[misc]
        self.code = error["code"]


def _retry_headers(seconds: float) -> dict[str, str]:
    """`Retry-After` counts whole seconds; OpenAI's own header has milliseconds, for a fraction."""
    headers = {"retry-after": str(max(1, math.ceil(seconds)))}
    if seconds % 1:
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    return headers


def error_body(
    message: str,
    *,
    type: str,
    code: str | None = None,
    param: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the JSON of an error response."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return {"error": {**error, **(details or {})}}


def closing_response(
    status: HTTPStatus, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of an HTTP response after which the connection closes."""
    content = json.dumps(body).encode()
    all_headers = {
        "content-type": "application/json",
        "content-length": len(content),
        REQUEST_ID: uuid4().hex,
        **(headers or {}),
        "connection": "close",
    }
    lines = [f"{name}: {value}" for name, value in all_headers.items()]
    start = f"HTTP/1.1 {status.value} {status.phrase}"
    return "\r\n".join((start, *lines, "", "")).encode() + content
