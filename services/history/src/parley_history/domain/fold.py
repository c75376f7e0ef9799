"""The fold: computes a session's next row and the effect of its next event."""

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
from parley_history.domain.message_rows import imported_message, reply_message, submitted_message
from parley_history.domain.rows import MessageRow, SessionRow, TurnLink
from parley_history.domain.session_changes import changed_columns

Effect = MessageRow | TurnLink | None
"""A new message, a link from a message to the turn it opened, or nothing beyond the row."""


class InapplicableEvent(Exception):
    """The event cannot follow in its session; the message names ids and types, never content."""


def evolve(session: SessionRow | None, event: Event | DiscardedRecord) -> tuple[SessionRow, Effect]:
    """Return the row after `event`, which must be the next of the session, and its effect."""
    if isinstance(event, DiscardedRecord):
        return _skipped(session, event), None
    if session is None:
        return _started(event), None
    if session.erased_at is not None:
        raise InapplicableEvent("the session is erased")
    # Most frequent first: each failed class pattern costs as much as the rest of the fold.
    match event.data:
        case MessageSubmitted() as submitted:
            return _with_message(session, event, submitted_message(event, submitted))
        case ReplyRequested() as requested:
            return _with_open_turn(session, event, requested)
        case ReplyCompleted() | ReplyFailed() | ReplyCancelled() as ended:
            return _with_reply(session, event, ended)
        case MessageImported() as imported:
            return _with_message(session, event, imported_message(event, imported))
        case SessionStarted() | CompletionServed():
            raise InapplicableEvent("the session has already started")
        case other:
            return _changed(session, event, changed_columns(event, other)), None


def _skipped(session: SessionRow | None, discarded: DiscardedRecord) -> SessionRow:
    if session is None:
        raise InapplicableEvent("the session has no start event")
    # Ids increase along a session, but the id may be the defect of the discarded record.
    last_event_id = max(session.last_event_id, discarded.id)
    return replace(session, version=discarded.sequence, last_event_id=last_event_id)


def _started(event: Event) -> SessionRow:
    data = event.data
    if isinstance(data, CompletionServed):
        return _completion_served(event, data)
    if not isinstance(data, SessionStarted):
        raise InapplicableEvent("the first event of the session is not its start")
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


def _completion_served(event: Event, data: CompletionServed) -> SessionRow:
    """Return a tombstone: a completion without a conversation has nothing to read."""
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


def _with_message(
    session: SessionRow, event: Event, message: MessageRow
) -> tuple[SessionRow, MessageRow]:
    """Make the message the leaf; a parent other than the previous leaf starts a branch."""
    row = replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        leaf_message_id=message.id,
        linear=session.linear and message.parent_id == session.leaf_message_id,
    )
    return row, message


def _with_open_turn(
    session: SessionRow, event: Event, request: ReplyRequested
) -> tuple[SessionRow, TurnLink]:
    row = replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        open_turn_id=request.turn_id,
        open_turn_message_id=request.parent_message_id,
    )
    return row, TurnLink(session.id, request.parent_message_id, request.turn_id)


def _with_reply(
    session: SessionRow, event: Event, end: ReplyCompleted | ReplyFailed | ReplyCancelled
) -> tuple[SessionRow, MessageRow]:
    if end.turn_id != session.open_turn_id:
        # The record that opened the turn was discarded; the reply follows the newest message.
        return _with_message(session, event, reply_message(event, end, session.leaf_message_id))
    message = reply_message(event, end, session.open_turn_message_id)
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
    position = {"version": event.sequence, "last_event_id": event.id, "updated_at": event.time}
    return replace(session, **position, **changes)
