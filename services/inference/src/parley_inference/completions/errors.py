"""Maps a model server's failure to the error response of a completion."""

from parley_core.http.errors import ParleyError
from parley_inference.models.failures import MESSAGES, FailureCode, UpstreamError

_STATUSES: dict[FailureCode, int] = {
    "upstream_refused": 502,
    "upstream_rate_limited": 429,
    "upstream_unavailable": 503,
    "upstream_busy": 503,
    "upstream_timeout": 504,
    "upstream_garbage": 502,
    "upstream_broken": 502,
    "interrupted": 503,
}
_TYPES = {400: "invalid_request_error", 429: "rate_limit_error"}


class UpstreamErrorResponse(ParleyError):
    """An upstream failure with its HTTP status, error type and `retry-after`."""

    def __init__(self, error: UpstreamError) -> None:
        status = 400 if error.bad_request else _STATUSES.get(error.code, 500)
        headers = {}
        if status in (429, 503):
            headers["retry-after"] = str(max(1, round(error.retry_after or 1)))
        super().__init__(MESSAGES[error.code], code=error.code, headers=headers)
        self.status = status  # type: ignore[misc]
        self.type = _TYPES.get(status, "server_error")  # type: ignore[misc]
