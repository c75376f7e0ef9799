"""Events opened with the session's key, as the shapes that clients see."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from parley_core.events import (
    Event,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyEnded,
    ReplyFailed,
    ReplyRequested,
    SessionStarted,
    Usage,
)
from parley_core.sealing import DataKey, unseal
from parley_core.shapes import ErrorShape, Message, SessionShape, Turn, UsageShape
from parley_session.domain.state import Session, TurnStatus


def session_of(session: Session, started: Event, key: DataKey) -> SessionShape:
    """The session as its first event began it."""
    assert isinstance(started.data, SessionStarted)
    return SessionShape(
        id=session.id,
        assistant_id=session.assistant_id,
        title=_text(started, "title", started.data.title, key) if started.data.title else None,
        metadata=_object(started, "metadata", started.data.metadata, key),
        version=session.version,
        created_at=started.time,
        updated_at=session.updated_at,
    )


def message_of(event: Event, turn_id: UUID | None, key: DataKey) -> Message:
    """The message that a `message_submitted` or the end of a reply brought."""
    match event.data:
        case MessageSubmitted(message_id=message_id, content=content):
            return Message(
                id=message_id,
                session_id=event.session_id,
                turn_id=turn_id,
                role="user",
                content=_text(event, "content", content, key),
                status="completed",
                version=event.sequence,
                created_at=event.time,
            )
        case ReplyCompleted() as reply:
            return _reply(event, reply, "content", reply.content, key)
        case ReplyFailed() | ReplyCancelled() as reply:
            return _reply(event, reply, "partial_content", reply.partial_content, key)
        case other:
            raise TypeError(f"a {type(other).__name__} brings no message")


def turn_of(session: Session, events: Sequence[Event], key: DataKey) -> Turn:
    """A turn from its own events: its message, its request and, when it has ended, its end."""
    submitted, requested, *end = events
    assert isinstance(requested.data, ReplyRequested)
    turn_id = requested.data.turn_id
    return Turn(
        id=turn_id,
        session_id=session.id,
        # By its own end: the session may have been read later than the turn.
        status=_STATUS[end[0].type] if end else "running",
        message=message_of(submitted, turn_id, key),
        reply_id=requested.data.reply_id,
        reply=message_of(end[0], turn_id, key) if end else None,
        error=_error(end[0], key) if end else None,
        version=events[-1].sequence,
    )


def _reply(
    event: Event, reply: ReplyEnded, field: str, sealed: bytes | None, key: DataKey
) -> Message:
    return Message(
        id=reply.reply_id,
        session_id=event.session_id,
        turn_id=reply.turn_id,
        role="assistant",
        content=_text(event, field, sealed, key),
        status=_STATUS[event.type],
        version=event.sequence,
        created_at=event.time,
        model=reply.model,
        finish_reason=reply.finish_reason if isinstance(reply, ReplyCompleted) else None,
        usage=_usage(reply.usage) if reply.usage else None,
    )


def _error(event: Event, key: DataKey) -> ErrorShape | None:
    if not isinstance(event.data, ReplyFailed):
        return None
    details = _text(event, "details", event.data.details, key)
    return ErrorShape(
        message=details or "The reply failed.", type="server_error", code=event.data.code
    )


def _usage(usage: Usage) -> UsageShape:
    return UsageShape(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        estimated=usage.estimated,
    )


def _text(event: Event, field: str, sealed: bytes | None, key: DataKey) -> str:
    return str(_object(event, field, sealed, key).get("text", ""))


def _object(event: Event, field: str, sealed: bytes | None, key: DataKey) -> dict[str, Any]:
    if sealed is None:
        return {}
    return unseal(key, sealed, session_id=event.session_id, event_id=event.id, field=field)


_STATUS: dict[str, TurnStatus] = {
    ReplyCompleted.TYPE: "completed",
    ReplyFailed.TYPE: "failed",
    ReplyCancelled.TYPE: "cancelled",
}
