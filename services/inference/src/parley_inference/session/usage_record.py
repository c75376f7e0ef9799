"""Usage to be charged: of a stateless completion, and of a one-shot request after a reply."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_events.values import Price, Usage

Status = Literal["completed", "failed", "cut"]


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """Usage of one completion and its caller; `cut`: the client disconnected before its end.

    `model` is the name of the model that answered, `traceparent` the trace of the request.
    """

    id: UUID
    principal: Principal
    request_id: str
    model: str
    status: Status
    usage: Usage
    price: Price | None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class UnusedReservation:
    """A completion for which session reserved a budget, and which used nothing."""

    id: UUID
    principal: Principal
    request_id: str
    traceparent: str | None = None


CompletionReport = UsageRecord | UnusedReservation


@dataclass(frozen=True, slots=True)
class OneShotResult:
    """The text of a title or summary, with its usage and price."""

    text: str
    usage: Usage
    price: Price | None
