"""State of a session that decisions need, as a fold of its events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

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

# Most appends have no more events than this.
_FEW_EVENTS = 4

_Insert = Callable[[Mapping[UUID, Any], UUID, object], Mapping[UUID, Any]]


class MessageNode(Struct, frozen=True, array_like=True, gc=False):
    """A message in the tree of a session: the sequence of its event, and its parent.

    `sealed_bytes` is the size of the sealed content, 0 for a reply without text. `tokens` is the
    size of the content, if counted.
    """

    sequence: int
    role: Role
    parent_id: UUID | None
    sealed_bytes: int
    tokens: int | None = None


class OpenTurn(Struct, frozen=True):
    id: UUID
    message_id: UUID
    reply_id: UUID
    model: str
    assistant_version: int
    cancel_requested_by: Actor | None = None


class Session(Struct, frozen=True):
    """A session at `version`, which is the sequence of its last event.

    `title_sequence` and `metadata_sequence` are those of the events with the current values.
    `compactions` maps the last message that a summary covers to the node of the summary.
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
    legal_hold: bool = False
    erase_at: datetime | None = None
    erased: bool = False
    open_turn: OpenTurn | None = None
    leaf_message_id: UUID | None = None
    messages: Mapping[UUID, MessageNode] = field(default_factory=dict)
    ended_turns: Mapping[UUID, TurnStatus] = field(default_factory=dict)
    compactions: Mapping[UUID, MessageNode] = field(default_factory=dict)

    @property
    def deleted(self) -> bool:
        """Whether the session is in its undelete window, in which it can only be restored."""
        return self.erase_at is not None

    @property
    def newest_turn_id(self) -> UUID | None:
        """The turn opened last, whether or not it has ended."""
        return self.open_turn.id if self.open_turn else next(reversed([*self.ended_turns]), None)

    def branch_to(self, message_id: UUID | None) -> Iterator[tuple[UUID, MessageNode]]:
        """Nodes from the message up to the root of its branch."""
        while message_id is not None:
            node = self.messages[message_id]
            yield message_id, node
            message_id = node.parent_id


class BrokenStream(Exception):
    """The events do not form the stream of one session: the store or the log is damaged."""


def fold(events: Iterable[Event], session: Session | None = None) -> Session | None:
    """Return the session after `events`, from the start or from an earlier state."""
    remaining = [*events]
    if len(remaining) <= _FEW_EVENTS:
        insert = _insert_into_copy
    else:
        # One copy for all events: a copy per event would take quadratic time.
        insert = _insert_in_place
        session = session and replace(
            session, messages=dict(session.messages), ended_turns=dict(session.ended_turns)
        )
    for event in remaining:
        session = _evolved(session, event, insert)
    return session


def evolve(session: Session | None, event: Event) -> Session:
    """Return the session after `event`. Raises BrokenStream if it cannot be the next one."""
    return _evolved(session, event, _insert_into_copy)


def _evolved(session: Session | None, event: Event, insert: _Insert) -> Session:
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
        **_changes(session, event, insert),
    )


def _changes(session: Session, event: Event, insert: _Insert) -> dict[str, Any]:
    """Fields that the event changes, besides those that every event changes."""
    match event.data:
        case MessageSubmitted() as message:
            node = _message_node(
                event, "user", message.parent_message_id, message.content, message.tokens
            )
            return _with_message(session, message.message_id, node, insert)
        case MessageImported(parent_message_id=parent_id) as message:
            content = None if message.tokens == 0 else message.content
            node = _message_node(event, message.role, parent_id, content, message.tokens)
            return _with_message(session, message.message_id, node, insert)
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
            return _ended(session, event, event.data, "completed", content, insert)
        case ReplyFailed(partial_content=content):
            return _ended(session, event, event.data, "failed", content, insert)
        case ReplyCancelled(partial_content=content):
            return _ended(session, event, event.data, "cancelled", content, insert)
        case ContextCompacted() as done:
            node = _message_node(event, "system", None, done.summary, done.tokens)
            return {"compactions": {**session.compactions, done.up_to_message_id: node}}
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
            return {"legal_hold": True}
        case LegalHoldLifted():
            return {"legal_hold": False}
        case SessionErased():
            return {"erased": True, "erase_at": None}
        case SessionStarted() | CompletionServed():
            raise BrokenStream(f"event {event.sequence} starts session {session.id} again")
        case UnknownEvent():
            return {}
        case other:
            assert_never(other)


def _started(event: Event) -> Session:
    started = event.data
    if isinstance(started, CompletionServed) and event.sequence == 1:
        return _completion(event, started)
    if not isinstance(started, SessionStarted) or event.sequence != 1:
        raise BrokenStream(f"session {event.session_id} starts with {event.type}")
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


def _completion(event: Event, served: CompletionServed) -> Session:
    """A completion is not a session; it counts as erased, so that no command applies to it."""
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


def _message_node(
    event: Event, role: Role, parent_id: UUID | None, text: bytes | None, tokens: int | None
) -> MessageNode:
    return MessageNode(event.sequence, role, parent_id, len(text or b""), tokens)


def _ended(
    session: Session,
    event: Event,
    end: ReplyEnded,
    status: TurnStatus,
    text: bytes | None,
    insert: _Insert,
) -> dict[str, Any]:
    turn = session.open_turn
    if turn is None or turn.id != end.turn_id:
        raise BrokenStream(f"event {event.sequence} ends a turn that is not open")
    usage = end.usage
    tokens = usage.completion_tokens if usage and not usage.estimated else None
    node = _message_node(event, "assistant", turn.message_id, text, tokens)
    return {
        **_with_message(session, end.reply_id, node, insert),
        "open_turn": None,
        "ended_turns": insert(session.ended_turns, turn.id, status),
    }


def _with_message(
    session: Session, message_id: UUID, node: MessageNode, insert: _Insert
) -> dict[str, Any]:
    return {"leaf_message_id": message_id, "messages": insert(session.messages, message_id, node)}


def _insert_into_copy(known: Mapping[UUID, Any], key: UUID, value: object) -> Mapping[UUID, Any]:
    return {**known, key: value}


def _insert_in_place(known: Mapping[UUID, Any], key: UUID, value: object) -> Mapping[UUID, Any]:
    """For a map that only the current fold refers to."""
    assert isinstance(known, dict)
    known[key] = value
    return known
