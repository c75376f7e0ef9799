"""What a session remembers in order to decide, as a fold of its events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from parley_events.session import (
    CancelRequested,
    CompletionServed,
    ContextCompacted,
    Event,
    LegalHoldLifted,
    LegalHoldPlaced,
    MessageImported,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyEnded,
    ReplyFailed,
    ReplyRequested,
    SessionArchived,
    SessionDeleted,
    SessionErased,
    SessionMetadataChanged,
    SessionRenamed,
    SessionRestored,
    SessionStarted,
    SessionUnarchived,
    UnknownEvent,
)
from parley_events.values import Actor, ForkPoint

TurnStatus = Literal["completed", "failed", "cancelled"]
Role = Literal["user", "assistant", "system"]

# What is appended at once, most of the time.
_FEW_EVENTS = 4

_Grow = Callable[[Mapping[UUID, Any], UUID, object], Mapping[UUID, Any]]


@dataclass(frozen=True, slots=True)
class MessageNode:
    """Where a message stands: the event that brought it, and the message that it follows.

    `sealed_bytes` is the size of its sealed content; a reply that never had any text has 0.
    `tokens` is how many the content has, where somebody counted.
    """

    sequence: int
    role: Role
    parent_id: UUID | None
    sealed_bytes: int
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class OpenTurn:
    id: UUID
    message_id: UUID
    reply_id: UUID
    model: str
    assistant_version: int
    cancel_requested_by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A session at `version`, which is the sequence of its last event.

    `title_sequence` and `metadata_sequence` are those of the events that hold what there is now.
    `compactions` are the messages up to which a summary stands, with the places of the summaries.
    """

    id: UUID
    owner: str
    tenant: str
    assistant_id: str
    assistant_version: int
    version: int
    last_event_id: UUID
    updated_at: datetime
    expires_at: datetime | None = None
    forked_from: ForkPoint | None = None
    title_sequence: int | None = None
    metadata_sequence: int | None = None
    archived: bool = False
    held: bool = False
    erase_at: datetime | None = None
    erased: bool = False
    open_turn: OpenTurn | None = None
    leaf_message_id: UUID | None = None
    messages: Mapping[UUID, MessageNode] = field(default_factory=dict)
    ended_turns: Mapping[UUID, TurnStatus] = field(default_factory=dict)
    compactions: Mapping[UUID, MessageNode] = field(default_factory=dict)

    @property
    def deleted(self) -> bool:
        """Until `erase_at` its owner may restore it, and do nothing else with it."""
        return self.erase_at is not None

    @property
    def newest_turn_id(self) -> UUID | None:
        """Of the turn that was opened last, whether or not it has ended."""
        return self.open_turn.id if self.open_turn else next(reversed([*self.ended_turns]), None)

    def line(self, message_id: UUID | None) -> Iterator[tuple[UUID, MessageNode]]:
        """The message, the one that it follows, and so on to the first one."""
        while message_id is not None:
            place = self.messages[message_id]
            yield message_id, place
            message_id = place.parent_id


class BrokenStream(Exception):
    """The events given are no stream of one session: the store or the log is damaged."""


def fold(events: Iterable[Event], session: Session | None = None) -> Session | None:
    """Return the session after `events`, from its beginning or from an earlier state."""
    remaining = [*events]
    if len(remaining) <= _FEW_EVENTS:
        grow = _grown_copy
    else:
        # One copy for all of them: with one per event a long session would take its square.
        grow = _grown_in_place
        session = session and replace(
            session, messages=dict(session.messages), ended_turns=dict(session.ended_turns)
        )
    for event in remaining:
        session = _evolved(session, event, grow)
    return session


def evolve(session: Session | None, event: Event) -> Session:
    """Return the session after `event`. Raises `BrokenStream` when it cannot be the next one."""
    return _evolved(session, event, _grown_copy)


def _evolved(session: Session | None, event: Event, grow: _Grow) -> Session:
    if session is None:
        return _started(event)
    if event.session_id != session.id or event.sequence != session.version + 1:
        raise BrokenStream(
            f"after event {session.version} of session {session.id}"
            f" comes event {event.sequence} of session {event.session_id}"
        )
    if session.erased:
        raise BrokenStream(f"event {event.sequence} follows the erasure of session {session.id}")
    return replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        **_changes(session, event, grow),
    )


def _changes(session: Session, event: Event, grow: _Grow) -> dict[str, Any]:
    """The fields that the event changes, beside those that each one does."""
    match event.data:
        case MessageSubmitted() as said:
            place = _place(event, "user", said.parent_message_id, said.content, said.tokens)
            return _with_message(session, said.message_id, place, grow)
        case MessageImported() as said:
            place = _place(event, said.role, said.parent_message_id, said.content, said.tokens)
            return _with_message(session, said.message_id, place, grow)
        case ReplyRequested(turn_id=turn_id, parent_message_id=message_id):
            turn = OpenTurn(
                turn_id,
                message_id,
                event.data.reply_id,
                event.data.model,
                event.data.assistant_version,
            )
            return {"open_turn": turn}
        case CancelRequested(actor=actor):
            if session.open_turn is None:
                raise BrokenStream(f"event {event.sequence} cancels a turn that is not open")
            return {"open_turn": replace(session.open_turn, cancel_requested_by=actor)}
        case ReplyCompleted(content=content):
            return _ended(session, event, event.data, "completed", content, grow)
        case ReplyFailed(partial_content=content):
            return _ended(session, event, event.data, "failed", content, grow)
        case ReplyCancelled(partial_content=content):
            return _ended(session, event, event.data, "cancelled", content, grow)
        case ContextCompacted() as done:
            place = _place(event, "system", None, done.summary, done.tokens)
            return {"compactions": {**session.compactions, done.up_to_message_id: place}}
        case SessionRenamed(title=title):
            return {"title_sequence": None if title is None else event.sequence}
        case SessionMetadataChanged():
            return {"metadata_sequence": event.sequence}
        case SessionArchived():
            return {"archived": True}
        case SessionUnarchived():
            return {"archived": False}
        case SessionDeleted(erase_at=erase_at):
            return {"erase_at": erase_at}
        case SessionRestored():
            return {"erase_at": None}
        case LegalHoldPlaced():
            return {"held": True}
        case LegalHoldLifted():
            return {"held": False}
        case SessionErased():
            return {"erased": True, "erase_at": None}
        case SessionStarted() | CompletionServed():
            raise BrokenStream(f"event {event.sequence} begins session {session.id} again")
        case UnknownEvent():
            return {}
        case other:
            assert_never(other)


def _started(event: Event) -> Session:
    started = event.data
    if isinstance(started, CompletionServed) and event.sequence == 1:
        return _served(event, started)
    if not isinstance(started, SessionStarted) or event.sequence != 1:
        raise BrokenStream(f"session {event.session_id} begins with {event.type}")
    return Session(
        id=event.session_id,
        owner=started.owner,
        tenant=started.tenant,
        assistant_id=started.assistant_id,
        assistant_version=started.assistant_version,
        version=1,
        last_event_id=event.id,
        updated_at=event.time,
        expires_at=started.expires_at,
        forked_from=started.forked_from,
        title_sequence=None if started.title is None else 1,
        metadata_sequence=None if started.metadata is None else 1,
    )


def _served(event: Event, served: CompletionServed) -> Session:
    """A completion is no session: it can be used no more than one that was erased."""
    return Session(
        id=event.session_id,
        owner=served.owner,
        tenant=served.tenant,
        assistant_id="",
        assistant_version=0,
        version=1,
        last_event_id=event.id,
        updated_at=event.time,
        erased=True,
    )


def _place(
    event: Event, role: Role, parent_id: UUID | None, text: bytes | None, tokens: int | None
) -> MessageNode:
    return MessageNode(event.sequence, role, parent_id, len(text or b""), tokens)


def _ended(
    session: Session,
    event: Event,
    end: ReplyEnded,
    status: TurnStatus,
    text: bytes | None,
    grow: _Grow,
) -> dict[str, Any]:
    turn = session.open_turn
    if turn is None or turn.id != end.turn_id:
        raise BrokenStream(f"event {event.sequence} ends a turn that is not open")
    usage = end.usage
    tokens = usage.completion_tokens if usage and not usage.estimated else None
    place = _place(event, "assistant", turn.message_id, text, tokens)
    return {
        **_with_message(session, end.reply_id, place, grow),
        "open_turn": None,
        "ended_turns": grow(session.ended_turns, turn.id, status),
    }


def _with_message(
    session: Session, message_id: UUID, place: MessageNode, grow: _Grow
) -> dict[str, Any]:
    return {"leaf_message_id": message_id, "messages": grow(session.messages, message_id, place)}


def _grown_copy(known: Mapping[UUID, Any], key: UUID, value: object) -> Mapping[UUID, Any]:
    return {**known, key: value}


def _grown_in_place(known: Mapping[UUID, Any], key: UUID, value: object) -> Mapping[UUID, Any]:
    """Of a map that one fold alone has."""
    assert isinstance(known, dict)
    known[key] = value
    return known
