"""The fold: a session's row and the next event become its next row, and what the event brought."""

from typing import Any, assert_never

from msgspec.structs import replace

from parley_core.events import (
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
from parley_history.domain.discards import Discarded
from parley_history.domain.rows import MessageRow, SessionRow, TurnOfMessage

Brought = MessageRow | TurnOfMessage | None


class BrokenStream(Exception):
    """The event cannot follow in its session; the message says why, with ids and types alone."""


def evolve(session: SessionRow | None, event: Event | Discarded) -> tuple[SessionRow, Brought]:
    """The row after `event`, which must be the session's next one, and what it brought."""
    if isinstance(event, Discarded):
        return _passed(session, event), None
    if session is None:
        return _started(event), None
    match event.data:
        case MessageSubmitted() as submitted:
            return _moved(session, event), _submitted(event, submitted)
        case ReplyRequested() as asked:
            link = TurnOfMessage(session.id, asked.parent_message_id, asked.turn_id)
            return _moved(session, event, opens=asked), link
        case ReplyCompleted() | ReplyFailed() | ReplyCancelled() as end:
            return _moved(session, event, ends=end), _reply(session, event, end)
        case CancelRequested() | UnknownEvent():
            return _moved(session, event), None
        case SessionStarted():
            raise BrokenStream("the session starts again")
        case other:
            assert_never(other)


def _passed(session: SessionRow | None, place: Discarded) -> SessionRow:
    if session is None:
        raise BrokenStream("the session has no start")
    # Ids increase along a session, but this one may be what was wrong with the record.
    last_event_id = max(session.last_event_id, place.id)
    return replace(session, version=place.sequence, last_event_id=last_event_id)


def _started(event: Event) -> SessionRow:
    data = event.data
    if not isinstance(data, SessionStarted):
        raise BrokenStream("the session does not begin with its start")
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
    )


def _moved(
    session: SessionRow,
    event: Event,
    *,
    opens: ReplyRequested | None = None,
    ends: ReplyEnded | None = None,
) -> SessionRow:
    turn_id, message_id = session.open_turn_id, session.open_turn_message_id
    if opens is not None:
        turn_id, message_id = opens.turn_id, opens.parent_message_id
    elif ends is not None and ends.turn_id == turn_id:
        turn_id = message_id = None
    return replace(
        session,
        version=event.sequence,
        last_event_id=event.id,
        updated_at=event.time,
        open_turn_id=turn_id,
        open_turn_message_id=message_id,
    )


def _submitted(event: Event, data: MessageSubmitted) -> MessageRow:
    return MessageRow(
        session_id=event.session_id,
        version=event.sequence,
        id=data.message_id,
        event_id=event.id,
        turn_id=None,
        parent_id=data.parent_message_id,
        role="user",
        status="completed",
        created_at=event.time,
        content=data.content,
    )


def _reply(
    session: SessionRow, event: Event, end: ReplyCompleted | ReplyFailed | ReplyCancelled
) -> MessageRow:
    return MessageRow(
        session_id=event.session_id,
        version=event.sequence,
        id=end.reply_id,
        event_id=event.id,
        turn_id=end.turn_id,
        parent_id=session.open_turn_message_id if session.open_turn_id == end.turn_id else None,
        role="assistant",
        created_at=event.time,
        model=end.model,
        **_charged(end),
        **_outcome(end),
    )


def _charged(end: ReplyEnded) -> dict[str, Any]:
    charged: dict[str, Any] = {}
    if usage := end.usage:
        charged |= {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "tokens_estimated": usage.estimated,
        }
    if price := end.price:
        charged |= {
            "price_currency": price.currency,
            "price_prompt": price.prompt,
            "price_completion": price.completion,
        }
    return charged


def _outcome(end: ReplyCompleted | ReplyFailed | ReplyCancelled) -> dict[str, Any]:
    """What each of the three ends has of its own."""
    match end:
        case ReplyCompleted():
            return {
                "status": "completed",
                "content": end.content,
                "finish_reason": end.finish_reason,
            }
        case ReplyFailed():
            return {
                "status": "failed",
                "content": end.partial_content,
                "error_code": end.code,
                "error_details": end.details,
            }
        case ReplyCancelled():
            return {"status": "cancelled", "content": end.partial_content}
        case other:
            assert_never(other)
