"""A completion without a conversation: what it cost, as the one event of a stream of its own."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from parley_events.session import CompletionServed, Event
from parley_events.uuid7 import uuid7_after
from parley_events.values import Price, Usage
from parley_session.domain.session.event_builder import CommandMetadata


@dataclass(frozen=True, slots=True)
class RecordCompletion:
    """Nothing of what was said; `cut` is one that its client left."""

    id: UUID
    model: str
    status: Literal["completed", "failed", "cut"]
    usage: Usage
    price: Price | None = None


def completion_served(command: RecordCompletion, moment: CommandMetadata) -> Event:
    return Event(
        id=uuid7_after(None, int(moment.now.timestamp() * 1000), moment.randomness),
        session_id=command.id,
        sequence=1,
        time=moment.now,
        data=CompletionServed(
            actor=moment.actor,
            request_id=moment.request_id,
            owner=moment.actor.user,
            tenant=moment.actor.tenant,
            model=command.model,
            status=command.status,
            usage=command.usage,
            price=command.price,
        ),
        traceparent=moment.traceparent,
    )
