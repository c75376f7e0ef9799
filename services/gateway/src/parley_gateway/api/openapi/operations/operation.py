"""What one public route takes and answers, as the OpenAPI document tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

# Why an operation fails, by status: the codes that its error may carry.
Errors = Mapping[int, Sequence[str]]

EVERY: Errors = {
    400: ("invalid_request",),
    401: ("unauthenticated", "invalid_token"),
    500: ("internal_error",),
    503: (
        "session_unavailable",
        "session_busy",
        "event_store_unavailable",
        "keys_unavailable",
    ),
}
SENT: Errors = {408: ("request_timeout",), 413: ("body_too_large",)}
KEYED: Errors = {422: ("idempotency_key_reused",)}
OF_A_SESSION: Errors = {404: ("session_not_found",)}
OF_A_TURN: Errors = {404: ("turn_not_found",)}
FROM_HISTORY: Errors = {
    503: (*EVERY[503], "history_unavailable", "history_busy", "projection_behind")
}


@dataclass(frozen=True, slots=True)
class Operation:
    """`streams` names the kinds of content, beside JSON, that a 200 may have; `headers`
    are parameters as the document has them.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    errors: Sequence[Errors] = ()
    description: str | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    public: bool = False
    streams: Sequence[str] = ()
    resumes: bool = False
    conditional: bool = False
    headers: Sequence[Mapping[str, Any]] = ()
    tag: str = "chat"
