"""How the making of a reply can fail: a code for programs, a sentence for people."""

from typing import Literal

FailureCode = Literal[
    "upstream_refused",
    "upstream_rate_limited",
    "upstream_unavailable",
    "upstream_busy",
    "upstream_timeout",
    "upstream_garbage",
    "upstream_broken",
    "model_unknown",
    "context_too_long",
    "cancelled",
    "interrupted",
    "internal",
]

SENTENCES: dict[FailureCode, str] = {
    "upstream_refused": "The model server refused the request.",
    "upstream_rate_limited": "The model server takes no more requests for now; try again later.",
    "upstream_unavailable": "The model server cannot be reached or failed; try again.",
    "upstream_busy": "The model server has as many requests of ours as it may; try again.",
    "upstream_timeout": "The model server did not go on in time; try again.",
    "upstream_garbage": "The model server answered something that is no reply.",
    "upstream_broken": "The connection to the model server broke before the reply was whole.",
    "model_unknown": "This model is not in the catalogue.",
    "context_too_long": "The message is too long for this model.",
    "cancelled": "The reply was cancelled.",
    "interrupted": "The process that made the reply was stopped; try again.",
    "internal": "Something went wrong on our side.",
}


class UpstreamError(Exception):
    """The model server did not do its part; never holds what it sent.

    `passing` is trouble that another attempt may not meet; `retry_after` is in seconds, where the
    server named it; `asked_wrongly` is a refusal of the request itself. `begun` says that some of
    the reply was given out by then: nobody else can be asked for it.
    """

    def __init__(
        self,
        code: FailureCode,
        *,
        passing: bool = False,
        retry_after: float | None = None,
        asked_wrongly: bool = False,
        begun: bool = False,
    ) -> None:
        super().__init__(code)
        self.code, self.passing, self.retry_after = code, passing, retry_after
        self.asked_wrongly, self.begun = asked_wrongly, begun


def refusal(status: int, retry_after: float | None = None) -> UpstreamError:
    """What an answer other than 2xx means."""
    if status == 429:
        return UpstreamError("upstream_rate_limited", passing=True, retry_after=retry_after)
    if status >= 500:
        return UpstreamError("upstream_unavailable", passing=True, retry_after=retry_after)
    return UpstreamError(
        "upstream_refused",
        passing=status in (408, 409),
        retry_after=retry_after,
        asked_wrongly=status in (400, 413, 415, 422),
    )
