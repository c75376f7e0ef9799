"""Maps a model server's failure to the error response of a completion."""

import math

from parley_core.http.errors import ParleyError
from parley_inference.models.failures import FailureCode, UpstreamError

_STATUSES: dict[FailureCode, int] = {
    "upstream_refused": 502,
    "upstream_unauthorized": 502,
    "upstream_model_not_found": 502,
    "upstream_not_found": 502,
    "upstream_filtered": 502,
    "upstream_quota_exceeded": 429,
    "upstream_rate_limited": 429,
    "upstream_unavailable": 503,
    "upstream_busy": 503,
    "upstream_timeout": 504,
    "upstream_garbage": 502,
    "upstream_broken": 502,
    "context_length_exceeded": 400,
    "interrupted": 503,
}
_TYPES = {400: "invalid_request_error", 429: "rate_limit_error"}
# What the server answers to the caller's own text is for the caller.
_RELAYED_CODES = ("upstream_refused", "upstream_filtered", "context_length_exceeded")
_RELAYED_STATUSES = (400, 413, 415, 422)


class UpstreamErrorResponse(ParleyError):
    """An upstream failure with its HTTP status, error type and headers.

    A rejected request has the status, message, type, code and param of the model server.
    """

    def __init__(self, error: UpstreamError) -> None:
        message, code, param = error.message, str(error.code), None
        status = _STATUSES.get(error.code, 500)
        kind = _TYPES.get(status, "server_error")
        answer = error.answer
        if answer is not None and error.code in _RELAYED_CODES:
            if answer.status in _RELAYED_STATUSES:
                status = 400 if answer.status == 415 else answer.status
                kind = answer.type or "invalid_request_error"
                message, param = answer.message or message, answer.param
            if error.code != "context_length_exceeded":
                code = answer.code or code
        super().__init__(message, code=code, headers=_retry_headers(error, status))
        self.status, self.type = status, kind  # type: ignore[misc]
        self.param = param


def _retry_headers(error: UpstreamError, status: int) -> dict[str, str]:
    """A client that retried would multiply the attempts that were already made."""
    headers = {"x-should-retry": "false"} if error.was_asked else {}
    if error.retry_after is not None and status in (429, 503):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif not error.was_asked:
        headers["retry-after"] = "1"
    return headers
