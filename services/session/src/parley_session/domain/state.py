"""What a session remembers in order to decide, as a fold of its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, assert_never
from uuid import UUID

from parley_core.events import (
    Actor,
    CancelRequested,
    Event,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
    SessionStarted,
    UnknownEvent,
)

TurnStatus = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class OpenTurn:
    id: UUID
    reply_id: UUID
    model: str
    cancel_requested_by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A session at `version`, which is the sequence of its last event."""

    id: UUID
    owner: str
    tenant: str
    assistant_id: str
    assistant_version: int
    version: int
    last_event_id: UUID
    updated_at: datetime
    open_turn: OpenTurn | None = None
    leaf_message_id: UUID | None = None
    message_ids: frozenset[UUID] = frozenset()
    ended_turns: Mapping[UUID, TurnStatus] = field(default_factory=dict)


class BrokenStream(Exception):
    """The events given are no stream of one session: the store or the log is damaged."""


def fold(events: Iterable[Event], session: Session | None = None) -> Session | None:
    """Return the session after `events`, from its beginning or from an earlier state."""
    for event in events:
        session = evolve(session, event)
    return session


def evolve(session: Session | None, event: Event) -> Session:
    """Return the session after `event`. Raises `BrokenStream` when it cannot be the next one."""
    if session is None:
        return _started(event)
    if event.session_id != session.id or event.sequence != session.version + 1:
        raise BrokenStream(
            f"after event {session.version} of session {session.id}"
            f" comes event {event.sequence} of session {event.session_id}"
        )
    moved = replace(session, version=event.sequence, last_event_id=event.id, updated_at=event.time)
    match event.data:
        case MessageSubmitted(message_id=message_id):
            return replace(
                moved, leaf_message_id=message_id, message_ids=session.message_ids | {message_id}
            )
        case ReplyRequested(turn_id=turn_id, reply_id=reply_id, model=model):
            return replace(moved, open_turn=OpenTurn(turn_id, reply_id, model))
        case CancelRequested(actor=actor):
            if session.open_turn is None:
                raise BrokenStream(f"event {event.sequence} cancels a turn that is not open")
            return replace(moved, open_turn=replace(session.open_turn, cancel_requested_by=actor))
        case ReplyCompleted(turn_id=turn_id, reply_id=reply_id):
            return _ended(moved, turn_id, reply_id, "completed")
        case ReplyFailed(turn_id=turn_id, reply_id=reply_id):
            return _ended(moved, turn_id, reply_id, "failed")
        case ReplyCancelled(turn_id=turn_id, reply_id=reply_id):
            return _ended(moved, turn_id, reply_id, "cancelled")
        case SessionStarted():
            raise BrokenStream(f"event {event.sequence} starts session {session.id} again")
        case UnknownEvent():
            return moved
        case other:
            assert_never(other)


def _started(event: Event) -> Session:
    if not isinstance(event.data, SessionStarted) or event.sequence != 1:
        raise BrokenStream(f"session {event.session_id} begins with {event.type}")
    return Session(
        id=event.session_id,
        owner=event.data.owner,
        tenant=event.data.tenant,
        assistant_id=event.data.assistant_id,
        assistant_version=event.data.assistant_version,
        version=1,
        last_event_id=event.id,
        updated_at=event.time,
    )


def _ended(session: Session, turn_id: UUID, reply_id: UUID, status: TurnStatus) -> Session:
    return replace(
        session,
        open_turn=None,
        leaf_message_id=reply_id,
        message_ids=session.message_ids | {reply_id},
        ended_turns={**session.ended_turns, turn_id: status},
    )
