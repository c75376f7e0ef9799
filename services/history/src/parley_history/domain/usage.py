"""Usage accounting: tokens and cost of an event, summed by session, day, model and currency."""

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
"""Session id, day, model and currency; the primary key of a usage row."""


class UsageRow(Struct, frozen=True, gc=False):
    """Tokens and cost of one session on one day with one model in one currency.

    The day is that of the events' time, in UTC. `currency` is None when no price was known;
    `assistant_id` is None for a completion without a conversation. `cost` is the exact sum of
    tokens times price, in millionths of a micro-unit of the currency.
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
    """Return the usage that the event adds to its session; `session` is the row after it."""
    if isinstance(event, DiscardedRecord):
        return None
    match event.data:
        case (ReplyCompleted() | ReplyFailed() | ReplyCancelled() | CompletionServed()) as ended:
            return _usage_row(session, event, ended.model, ended.usage, ended.price, replies=1)
        case (SessionRenamed() | ContextCompacted()) as made:
            model = made.model or ""
            return _usage_row(session, event, model, made.usage, made.price, replies=0)
        case _:
            return None


def sum_usage(rows: Iterable[UsageRow]) -> dict[UsageKey, UsageRow]:
    sums: dict[UsageKey, UsageRow] = {}
    for row in rows:
        current = sums.get(row.key)
        sums[row.key] = current.plus(row) if current else row
    return sums


def _usage_row(
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
