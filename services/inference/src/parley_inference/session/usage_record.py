"""What a completion used, once it is over."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_events.values import Price, Usage

Status = Literal["completed", "failed", "cut"]


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """By whom and by which request; `cut` is one that its client left.

    `model` is the name of the one that answered.
    """

    id: UUID
    principal: Principal
    request_id: str
    model: str
    status: Status
    usage: Usage
    price: Price | None
