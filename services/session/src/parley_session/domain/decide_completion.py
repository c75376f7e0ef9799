"""Usage record of a stateless completion: the single event of its own stream (ADR 18)."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from parley_events.session import CompletionServed, Event
from parley_events.uuid7 import uuid7_after
from parley_events.values import Price, Usage
from parley_session.domain.session.event_builder import CommandMetadata


@dataclass(frozen=True, slots=True)
class RecordCompletion:
    """Contains no content; `cut` is the status of a completion whose client disconnected."""

    id: UUID
    model: str
    status: Literal["completed", "failed", "cut"]
    usage: Usage
    price: Price | None = None


def completion_served(command: RecordCompletion, command_metadata: CommandMetadata) -> Event:
    return Event(
        id=uuid7_after(None, command_metadata.now, command_metadata.randomness),
        session_id=command.id,
        sequence=1,
        time=command_metadata.now,
        data=CompletionServed(
            actor=command_metadata.actor,
            request_id=command_metadata.request_id,
            owner=command_metadata.actor.user,
            tenant=command_metadata.actor.tenant,
            model=command.model,
            status=command.status,
            usage=command.usage,
            price=command.price,
        ),
        traceparent=command_metadata.traceparent,
    )
