"""Failure codes of a reply, their messages, and the error raised by calls to a model server."""

from typing import Literal

FailureCode = Literal[
    "upstream_refused",
    "upstream_rate_limited",
    "upstream_unavailable",
    "upstream_busy",
    "upstream_timeout",
    "upstream_garbage",
    "upstream_broken",
    "upstream_filtered",
    "upstream_tool_calls",
    "upstream_empty",
    "model_unknown",
    "context_too_long",
    "cancelled",
    "interrupted",
    "internal",
]

MESSAGES: dict[FailureCode, str] = {
    "upstream_refused": "The model server rejected the request.",
    "upstream_rate_limited": "The model server is rate limiting requests. Please retry later.",
    "upstream_unavailable": "The model server is unavailable. Please retry.",
    "upstream_busy": "Too many concurrent requests to the model server. Please retry.",
    "upstream_timeout": "The model server timed out. Please retry.",
    "upstream_garbage": "The model server returned an invalid response.",
    "upstream_broken": "The connection to the model server broke during the reply.",
    "upstream_filtered": "The model server's content filter removed the whole reply.",
    "upstream_tool_calls": "The model called a tool instead of replying. Sessions have no tools.",
    "upstream_empty": "The model ended its reply without any text. Please retry.",
    "model_unknown": "This model is not in the model catalogue.",
    "context_too_long": "The message is too long for this model.",
    "cancelled": "The reply was cancelled.",
    "interrupted": "The process that generated the reply was stopped. Please retry.",
    "internal": "An internal error occurred.",
}


class UpstreamError(Exception):
    """A failed call to a model server; never contains what the server sent.

    `transient`: another attempt may succeed. `retry_after`: seconds, where the server named them.
    `bad_request`: the server rejected the request itself. `partially_sent`: part of the reply was
    already delivered, so no other attempt or model can replace it.
    """

    def __init__(
        self,
        code: FailureCode,
        *,
        transient: bool = False,
        retry_after: float | None = None,
        bad_request: bool = False,
        partially_sent: bool = False,
    ) -> None:
        super().__init__(code)
        self.code, self.transient, self.retry_after = code, transient, retry_after
        self.bad_request, self.partially_sent = bad_request, partially_sent


def error_for_status(status: int, retry_after: float | None = None) -> UpstreamError:
    """Map a status other than 2xx to an error."""
    if status == 429:
        return UpstreamError("upstream_rate_limited", transient=True, retry_after=retry_after)
    if status >= 500:
        return UpstreamError("upstream_unavailable", transient=True, retry_after=retry_after)
    return UpstreamError(
        "upstream_refused",
        transient=status in (408, 409),
        retry_after=retry_after,
        bad_request=status in (400, 413, 415, 422),
    )
