"""Responses of the OpenAPI document, with the error codes of each operation by status."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from parley_core.http.errors import error_body
from parley_gateway.schemas.responses import ErrorResponse

Codes = Mapping[int, Sequence[str]]
Responses = dict[int | str, dict[str, Any]]

ALWAYS: Codes = {
    400: ("invalid_request",),
    401: ("unauthenticated", "invalid_token"),
    429: ("too_many_bad_tokens", "rate_limit_exceeded"),
    500: ("internal_error",),
    503: (
        "session_unavailable",
        "session_busy",
        "event_store_unavailable",
        "key_unavailable",
        "keys_unavailable",
    ),
}
BODY: Codes = {
    408: ("request_timeout",),
    413: ("body_too_large",),
    429: ("too_much_content",),
    503: (*ALWAYS[503], "gateway_busy"),
}
COMMAND: Codes = {**BODY, 422: ("idempotency_key_reused",)}
SESSION: Codes = {404: ("session_not_found",)}
TURN: Codes = {404: ("turn_not_found",)}
ASSISTANT: Codes = {404: ("assistant_not_found",)}
HISTORY: Codes = {
    429: ("too_many_waiting_reads",),
    503: (*ALWAYS[503], "history_unavailable", "history_busy", "projection_behind"),
}
EXPORT: Codes = {
    429: ("too_many_streams", "too_many_exports", "too_many_waiting_reads"),
    503: (*HISTORY[503], "gateway_busy"),
}
MODELS: Codes = {503: ("inference_unavailable", "inference_busy", "keys_unavailable")}

_ERROR = {"$ref": f"#/components/schemas/{ErrorResponse.__name__}"}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    422: "idempotency_error",
    429: "rate_limit_error",
}


def responses(success: Mapping[int, dict[str, Any]], *errors: Codes) -> Responses:
    """All responses of an operation; where two groups have one status, the last group counts.

    429 always has the code of bad tokens, too.
    """
    codes: dict[int, Sequence[str]] = dict(ALWAYS)
    for group in errors:
        codes.update(group)
    if codes[429] is not ALWAYS[429]:
        codes[429] = (*codes[429], *ALWAYS[429])
    documented: Responses = dict(success.items())
    documented.update((status, _response(status, codes[status])) for status in sorted(codes))
    return documented


def _response(status: int, codes: Sequence[str]) -> dict[str, Any]:
    default = (
        "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    )
    example = error_body(
        "The reason, in one sentence.", type=_TYPES.get(status, default), code=codes[0]
    )
    return {
        "description": "Code " + " or ".join(f"`{code}`" for code in codes) + ".",
        # A "model" would cost FastAPI a validator for each of some 300 responses at each start.
        "content": {"application/json": {"example": example, "schema": _ERROR}},
    }
