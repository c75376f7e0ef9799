"""Maps failed and cancelled replies to errors of the chat completions API."""

import msgspec

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import ErrorShape
from parley_core.http.errors import ParleyError, error_body

_STATUSES = {
    "context_length_exceeded": 400,
    "context_too_long": 400,
    "model_unknown": 404,
    "cancelled": 409,
    "upstream_quota_exceeded": 429,
    "upstream_rate_limited": 429,
    "upstream_unavailable": 503,
    "upstream_busy": 503,
    "interrupted": 503,
    "upstream_timeout": 504,
}
_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
_CANCELLED = "The reply was cancelled. The session's history has its partial text."


class ReplyIncomplete(ParleyError):
    """The turn failed or was cancelled.

    An error, because the API has no finish reason for truncated text, which must not be mistaken
    for a whole reply.
    """

    def __init__(self, error: ErrorShape | None) -> None:
        code, message = ("cancelled", _CANCELLED)
        if error is not None:
            code, message = error.code or "internal", error.message
        # An automatic retry of an SDK would attach to the same turn.
        super().__init__(message, code=code, headers={"x-should-retry": "false"})
        self.status = _status(code)  # type: ignore[misc]
        self.type = _TYPES.get(self.status, "server_error")  # type: ignore[misc]


def error_event(error: ParleyError) -> bytes:
    """An error amid a stream: the last event, without `[DONE]` after it."""
    body = error_body(error.message, type=error.type, code=error.code, param=error.param)
    return sse.event(msgspec.json.encode(body))


def _status(code: str) -> int:
    return _STATUSES.get(code, 502 if code.startswith("upstream_") else 500)
