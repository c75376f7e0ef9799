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
    ReplyEnded,
    ReplyFailed,
    ReplyRequested,
    SessionStarted,
    UnknownEvent,
)

TurnStatus = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands: the event that brought it, and the message that it follows.

    `sealed_bytes` is the size of its sealed content; a reply that never had any text has 0.
    """

    sequence: int
    role: Literal["user", "assistant"]
    parent_id: UUID | None
    sealed_bytes: int


@dataclass(frozen=True, slots=True)
class OpenTurn:
    id: UUID
    message_id: UUID
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
    messages: Mapping[UUID, Place] = field(default_factory=dict)
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
        case MessageSubmitted(message_id=message_id, parent_message_id=parent, content=content):
            place = Place(event.sequence, "user", parent, len(content))
            return _with_message(moved, message_id, place)
        case ReplyRequested(turn_id=turn_id, parent_message_id=message_id):
            turn = OpenTurn(turn_id, message_id, event.data.reply_id, event.data.model)
            return replace(moved, open_turn=turn)
        case CancelRequested(actor=actor):
            if session.open_turn is None:
                raise BrokenStream(f"event {event.sequence} cancels a turn that is not open")
            return replace(moved, open_turn=replace(session.open_turn, cancel_requested_by=actor))
        case ReplyCompleted(content=content):
            return _ended(moved, event.data, "completed", content)
        case ReplyFailed(partial_content=content):
            return _ended(moved, event.data, "failed", content)
        case ReplyCancelled(partial_content=content):
            return _ended(moved, event.data, "cancelled", content)
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


def _ended(session: Session, end: ReplyEnded, status: TurnStatus, text: bytes | None) -> Session:
    turn = session.open_turn
    if turn is None or turn.id != end.turn_id:
        raise BrokenStream(f"event {session.version} ends a turn that is not open")
    place = Place(session.version, "assistant", turn.message_id, len(text or b""))
    return replace(
        _with_message(session, end.reply_id, place),
        open_turn=None,
        ended_turns={**session.ended_turns, turn.id: status},
    )


def _with_message(session: Session, message_id: UUID, place: Place) -> Session:
    return replace(
        session,
        leaf_message_id=message_id,
        messages={**session.messages, message_id: place},
    )
