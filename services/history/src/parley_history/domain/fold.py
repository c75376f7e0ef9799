"""The fold: a session's row and the next event become its next row, and what the event brought."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from parley_events.session import (
    CompletionServed,
    Event,
    MessageImported,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
    SessionStarted,
)
from parley_history.domain.discarded_record import DiscardedRecord
from parley_history.domain.message_rows import imported, replied, submitted
from parley_history.domain.rows import MessageRow, SessionRow, TurnOfMessage
from parley_history.domain.session_changes import changes_of

Brought = MessageRow | TurnOfMessage | None


class BrokenStream(Exception):
    """The event cannot follow in its session; the message says why, with ids and types alone."""


def evolve(
    session: SessionRow | None, event: Event | DiscardedRecord
) -> tuple[SessionRow, Brought]:
    """The row after `event`, which must be the session's next one, and what it brought."""
    if isinstance(event, DiscardedRecord):
        return _passed(session, event), None
    if session is None:
        return _started(event), None
    if session.erased_at is not None:
        raise BrokenStream("the session was erased")
    # The most frequent first: to be asked whether it is another takes as long as the rest.
    match event.data:
        case MessageSubmitted() as said:
            return _followed(session, event, submitted(event, said))
        case ReplyRequested() as asked:
            return _opened(session, event, asked)
        case ReplyCompleted() | ReplyFailed() | ReplyCancelled() as end:
            return _ended(session, event, end)
        case MessageImported() as brought:
            return _followed(session, event, imported(event, brought))
        case SessionStarted() | CompletionServed():
            raise BrokenStream("the session starts again")
        case other:
            return _changed(session, event, changes_of(event, other)), None


def _passed(session: SessionRow | None, place: DiscardedRecord) -> SessionRow:
    if session is None:
        raise BrokenStream("the session has no start")
    # Ids increase along a session, but this one may be what was wrong with the record.
    last_event_id = max(session.last_event_id, place.id)
    return replace(session, version=place.sequence, last_event_id=last_event_id)


def _started(event: Event) -> SessionRow:
    data = event.data
    if isinstance(data, CompletionServed):
        return _served(event, data)
    if not isinstance(data, SessionStarted):
        raise BrokenStream("the session does not begin with its start")
    origin = data.forked_from
    return SessionRow(
        id=event.session_id,
        tenant=data.tenant,
        owner=data.owner,
        assistant_id=data.assistant_id,
        assistant_version=data.assistant_version,
        version=event.sequence,
        last_event_id=event.id,
        created_at=event.time,
        updated_at=event.time,
        title=data.title,
        title_event_id=event.id if data.title is not None else None,
        metadata=data.metadata,
        metadata_event_id=event.id if data.metadata is not None else None,
        expires_at=data.expires_at,
        forked_from_session_id=origin.session_id if origin else None,
        forked_from_message_id=origin.message_id if origin else None,
    )


def _served(event: Event, data: CompletionServed) -> SessionRow:
    """A tombstone from the start: there is nothing to read."""
    return SessionRow(
        id=event.session_id,
        tenant=data.tenant,
        owner=data.owner,
        assistant_id="",
        assistant_version=0,
        version=event.sequence,
        last_event_id=event.id,
        created_at=event.time,
        updated_at=event.time,
        title=None,
        title_event_id=None,
        metadata=None,
        metadata_event_id=None,
        erased_at=event.time,
    )


def _followed(
    session: SessionRow, event: Event, message: MessageRow
) -> tuple[SessionRow, MessageRow]:
    """The newest message is the leaf; one that does not follow the leaf before it is a branch."""
    row = replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        leaf_message_id=message.id,
        linear=session.linear and message.parent_id == session.leaf_message_id,
    )
    return row, message


def _opened(
    session: SessionRow, event: Event, asked: ReplyRequested
) -> tuple[SessionRow, TurnOfMessage]:
    row = replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        open_turn_id=asked.turn_id,
        open_turn_message_id=asked.parent_message_id,
    )
    return row, TurnOfMessage(session.id, asked.parent_message_id, asked.turn_id)


def _ended(
    session: SessionRow, event: Event, end: ReplyCompleted | ReplyFailed | ReplyCancelled
) -> tuple[SessionRow, MessageRow]:
    if end.turn_id != session.open_turn_id:
        # The record that opened its turn was discarded: what it replies to came last.
        return _followed(session, event, replied(event, end, session.leaf_message_id))
    message = replied(event, end, session.open_turn_message_id)
    row = replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        open_turn_id=None,
        open_turn_message_id=None,
        leaf_message_id=message.id,
        linear=session.linear and message.parent_id == session.leaf_message_id,
    )
    return row, message


def _changed(session: SessionRow, event: Event, changes: Mapping[str, Any]) -> SessionRow:
    moved = {"version": event.sequence, "last_event_id": event.id, "updated_at": event.time}
    return replace(session, **moved, **changes)
