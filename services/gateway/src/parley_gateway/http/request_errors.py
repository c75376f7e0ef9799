"""Exception handlers: validation errors, and clients that disconnect."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from parley_core.http.error_handlers import error_response
from parley_core.http.errors import InvalidRequest
from parley_gateway.schemas.fields import CUSTOM_ERROR

_MAX_PARAM_LENGTH = 256


def install_request_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ClientDisconnect, _on_client_disconnect)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """400 `invalid_request`; `param` names the first invalid field."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return error_response(request, InvalidRequest(_message_of(first), param=_param_of(first)))


async def _on_client_disconnect(request: Request, error: Exception) -> Response:
    del request, error  # The client left while sending its body; nobody reads this response.
    return Response(status_code=400)


def _param_of(problem: Mapping[str, Any]) -> str | None:
    location: Sequence[Any] = problem["loc"]
    if problem["type"] == "json_invalid":
        return None  # Its location is an offset in the body.
    inside = location[1:] or location  # The first part is body, query, path or header.
    return ".".join(str(part) for part in inside)[:_MAX_PARAM_LENGTH]


def _message_of(problem: Mapping[str, Any]) -> str:
    kind = problem["type"]
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    if kind == CUSTOM_ERROR:
        return str(problem["msg"])
    return f"{problem['msg']}." if kind in _INPUT_FREE else "This value is not accepted."


_MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field.",
    "json_invalid": "The body is not valid JSON.",
    "uuid_parsing": "Input should be a valid UUID.",
}
# Errors whose message pydantic builds from the schema alone; others may quote the input.
# fmt: off
_INPUT_FREE = frozenset((
    "string_type", "string_too_short", "string_too_long", "int_type", "int_parsing", "float_type",
    "bool_type", "bool_parsing", "greater_than", "greater_than_equal", "less_than", "enum",
    "less_than_equal", "literal_error", "list_type", "dict_type", "uuid_type", "model_type",
    "model_attributes_type",
))
# fmt: on
