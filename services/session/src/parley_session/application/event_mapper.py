"""Maps events, unsealed with the session's key, to the API models of sessions and turns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from parley_contracts.api_models import (
    ErrorShape,
    ForkPointShape,
    Message,
    SessionShape,
    Turn,
    UsageShape,
)
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, unseal
from parley_events.session import (
    ContextCompacted,
    Event,
    MessageImported,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyEnded,
    ReplyFailed,
    ReplyRequested,
    SessionMetadataChanged,
    SessionRenamed,
    SessionStarted,
)
from parley_events.values import ForkPoint, Usage
from parley_session.domain.session.state import Role, Session, TurnStatus


def session_of(
    session: Session, events: Mapping[int, Event], key: DataKey, principal: Principal
) -> SessionShape:
    """The session for its owner; anyone else sees neither title nor metadata.

    `events` holds, by sequence, the first event and those with the title and the metadata.
    """
    is_owner = (session.tenant, session.owner) == (principal.tenant, principal.user)
    open_turn = session.open_turn
    return SessionShape(
        id=session.id,
        assistant_id=session.assistant_id,
        title=title_of(session, events, key) if is_owner else None,
        metadata=metadata_of(session, events, key) if is_owner else {},
        archived=session.archived,
        legal_hold=session.legal_hold,
        open_turn_id=open_turn.id if open_turn else None,
        version=session.version,
        created_at=events[1].time,
        updated_at=session.updated_at,
        expires_at=session.expires_at,
        forked_from=_fork_point(session.forked_from),
    )


def _fork_point(point: ForkPoint | None) -> ForkPointShape | None:
    if point is None:
        return None
    return ForkPointShape(session_id=point.session_id, message_id=point.message_id)


def title_of(session: Session, events: Mapping[int, Event], key: DataKey) -> str | None:
    if session.title_sequence is None:
        return None
    event = events[session.title_sequence]
    assert isinstance(event.data, SessionStarted | SessionRenamed)
    return _text(event, "title", event.data.title, key)


def metadata_of(session: Session, events: Mapping[int, Event], key: DataKey) -> dict[str, str]:
    if session.metadata_sequence is None:
        return {}
    event = events[session.metadata_sequence]
    assert isinstance(event.data, SessionStarted | SessionMetadataChanged)
    return _object(event, "metadata", event.data.metadata, key)


def message_of(
    event: Event, turn_id: UUID | None, key: DataKey, parent_id: UUID | None = None
) -> Message:
    """The message of an event that submits or imports one, or that ends a reply.

    `parent_id` is the message that a reply follows: its event does not hold it.
    """
    match event.data:
        case MessageSubmitted() as message:
            return _entered_message(event, message, "user", event.time, turn_id, key)
        case MessageImported() as message:
            entered = _entered_message(
                event, message, message.role, message.original_time, turn_id, key
            )
            return entered.model_copy(update=_reply_fields(message))
        case ReplyCompleted() as reply:
            return _reply_message(event, reply, parent_id, "content", reply.content, key)
        case ReplyFailed() | ReplyCancelled() as reply:
            return _reply_message(
                event, reply, parent_id, "partial_content", reply.partial_content, key
            )
        case other:
            raise TypeError(f"a {type(other).__name__} has no message")


def content_of(event: Event, key: DataKey) -> str:
    """The content of the message of an event; less work than `message_of`."""
    match event.data:
        case MessageSubmitted() | MessageImported() | ReplyCompleted():
            return _text(event, "content", event.data.content, key)
        case ReplyFailed() | ReplyCancelled():
            return _text(event, "partial_content", event.data.partial_content, key)
        case other:
            raise TypeError(f"a {type(other).__name__} has no message")


def summary_of(event: Event, key: DataKey) -> str:
    assert isinstance(event.data, ContextCompacted)
    return _text(event, "summary", event.data.summary, key)


def parameters_of(event: Event, key: DataKey) -> dict[str, Any]:
    """The parameters of a requested reply."""
    assert isinstance(event.data, ReplyRequested)
    return _object(event, "parameters", event.data.parameters, key)


def turn_of(session: Session, events: Sequence[Event], key: DataKey) -> Turn:
    """A turn from its events: its message, its request and, once it ended, its end."""
    submitted, requested, *end = events
    assert isinstance(requested.data, ReplyRequested)
    turn_id, parent_id = requested.data.turn_id, requested.data.parent_message_id
    return Turn(
        id=turn_id,
        session_id=session.id,
        # From the turn's own events: the session may have been read later than the turn.
        status=_STATUS[end[0].type] if end else "running",
        message=message_of(submitted, turn_id, key),
        reply_id=requested.data.reply_id,
        reply=message_of(end[0], turn_id, key, parent_id) if end else None,
        error=_error(end[0], key) if end else None,
        version=events[-1].sequence,
    )


def _entered_message(
    event: Event,
    message: MessageSubmitted | MessageImported,
    role: Role,
    created_at: datetime,
    turn_id: UUID | None,
    key: DataKey,
) -> Message:
    return Message(
        id=message.message_id,
        session_id=event.session_id,
        turn_id=turn_id,
        parent_message_id=message.parent_message_id,
        role=role,
        content=_text(event, "content", message.content, key),
        status="completed",
        version=event.sequence,
        created_at=created_at,
    )


def _reply_fields(message: MessageImported) -> dict[str, Any]:
    return {
        "status": message.status or "completed",
        "model": message.model,
        "finish_reason": message.finish_reason,
        "usage": _usage(message.usage) if message.usage else None,
        "error_code": message.error_code,
    }


def _reply_message(
    event: Event,
    reply: ReplyEnded,
    parent_id: UUID | None,
    field: str,
    sealed: bytes | None,
    key: DataKey,
) -> Message:
    return Message(
        id=reply.reply_id,
        session_id=event.session_id,
        turn_id=reply.turn_id,
        parent_message_id=parent_id,
        role="assistant",
        content=_text(event, field, sealed, key),
        status=_STATUS[event.type],
        version=event.sequence,
        created_at=event.time,
        model=reply.model,
        finish_reason=reply.finish_reason if isinstance(reply, ReplyCompleted) else None,
        usage=_usage(reply.usage) if reply.usage else None,
        error_code=reply.code if isinstance(reply, ReplyFailed) else None,
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
