"""The fold of usage: the tokens that an event tells of, and what they cost."""

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from parley_events.session import (
    CompletionServed,
    ContextCompacted,
    Event,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    SessionRenamed,
)
from parley_events.values import Price, Usage
from parley_history.domain.discarded_record import DiscardedRecord
from parley_history.domain.rows import SessionRow

UsageKey = tuple[UUID, date, str, str | None]
"""Session, day, model and currency: one row each."""


class UsageRow(Struct, frozen=True, gc=False):
    """What one day of a session cost with one model in one currency.

    The day is that of the events' time, in UTC. `currency` is None where no price was known,
    `assistant_id` of a completion without a conversation. `cost` is the exact sum of tokens times
    their price: micro-units of the currency, times a million.
    """

    session_id: UUID
    day: date
    model: str
    currency: str | None
    tenant: str
    owner: str
    assistant_id: str | None
    replies: int
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    cost: int

    @property
    def key(self) -> UsageKey:
        return (self.session_id, self.day, self.model, self.currency)

    def plus(self, other: "UsageRow") -> "UsageRow":
        return replace(
            self,
            replies=self.replies + other.replies,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            estimated_tokens=self.estimated_tokens + other.estimated_tokens,
            cost=self.cost + other.cost,
        )


def usage_of(session: SessionRow, event: Event | DiscardedRecord) -> UsageRow | None:
    """What the event adds to its session's usage; `session` is the row after it."""
    if isinstance(event, DiscardedRecord):
        return None
    match event.data:
        case (ReplyCompleted() | ReplyFailed() | ReplyCancelled() | CompletionServed()) as end:
            return _charged(session, event, end.model, end.usage, end.price, replies=1)
        case (SessionRenamed() | ContextCompacted()) as made:
            return _charged(session, event, made.model or "", made.usage, made.price, replies=0)
        case _:
            return None


def summed(rows: Iterable[UsageRow]) -> dict[UsageKey, UsageRow]:
    sums: dict[UsageKey, UsageRow] = {}
    for row in rows:
        before = sums.get(row.key)
        sums[row.key] = before.plus(row) if before else row
    return sums


def _charged(
    session: SessionRow,
    event: Event,
    model: str,
    usage: Usage | None,
    price: Price | None,
    *,
    replies: int,
) -> UsageRow | None:
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return UsageRow(
        session_id=session.id,
        day=event.time.date(),
        model=model,
        currency=price.currency if price else None,
        tenant=session.tenant,
        owner=session.owner,
        assistant_id=session.assistant_id or None,
        replies=replies,
        prompt_tokens=prompt,
        completion_tokens=completion,
        estimated_tokens=prompt + completion if usage.estimated else 0,
        cost=prompt * price.prompt + completion * price.completion if price else 0,
    )
