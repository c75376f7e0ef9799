"""A model server's failure as the error that a client of completions reads."""

from parley_core.http.errors import ParleyError
from parley_inference.models.failures import SENTENCES, FailureCode, UpstreamError

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
    def __init__(self, failed: UpstreamError) -> None:
        status = 400 if failed.asked_wrongly else _STATUSES.get(failed.code, 500)
        headers = {}
        if status in (429, 503):
            headers["retry-after"] = str(max(1, round(failed.retry_after or 1)))
        super().__init__(SENTENCES[failed.code], code=failed.code, headers=headers)
        self.status = status  # type: ignore[misc]
        self.type = _TYPES.get(status, "server_error")  # type: ignore[misc]
