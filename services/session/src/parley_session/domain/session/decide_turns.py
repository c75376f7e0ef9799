"""What opens a turn, and how it ends."""

from typing import Any, assert_never
from uuid import UUID

from parley_events.session import (
    CancelRequested,
    Event,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
)
from parley_events.values import Actor
from parley_session.domain.session.access import owned
from parley_session.domain.session.commands import (
    CompleteReply,
    FailReply,
    RegenerateReply,
    RequestCancel,
    SubmitMessage,
    TurnCommand,
    UserMessage,
)
from parley_session.domain.session.errors import (
    IdTaken,
    MessageNotFound,
    ParentNotFound,
    TurnAlreadyEnded,
    TurnNotFound,
    TurnOpen,
)
from parley_session.domain.session.event_builder import CommandMetadata, EventBuilder, Seal
from parley_session.domain.session.state import OpenTurn, Session


def decide_turn(
    session: Session, command: TurnCommand, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    drafts = EventBuilder(session.id, session, moment, seal)
    match command:
        case SubmitMessage():
            _submit(owned(session, moment), command, drafts)
        case RegenerateReply():
            _regenerate(owned(session, moment), command, drafts)
        case RequestCancel():
            _request_cancel(owned(session, moment), command, drafts)
        case CompleteReply():
            _complete(session, command, drafts)
        case FailReply():
            _fail(session, command, drafts)
        case other:
            assert_never(other)
    return drafts.events


def require_no_open_turn(session: Session) -> None:
    if session.open_turn is not None:
        raise TurnOpen(session.open_turn.id)


def cancel_open_turn(session: Session, canceller: Actor, drafts: EventBuilder) -> None:
    """End the turn that is open, if any, without waiting for whoever runs it."""
    if session.open_turn is not None:
        _cancelled(session.open_turn, canceller, drafts)


def _submit(session: Session, command: SubmitMessage, drafts: EventBuilder) -> None:
    require_no_open_turn(session)
    parent = None if command.begins else command.parent_message_id or session.leaf_message_id
    if parent is not None and parent not in session.messages:
        raise ParentNotFound
    last = UserMessage(command.message_id, command.content, command.tokens)
    said = [*command.preceding, last]
    _require_new(session, *(message.id for message in said), command.reply_id, command.turn_id)
    for message in said:
        drafts.add(
            MessageSubmitted(
                **drafts.common,
                message_id=message.id,
                parent_message_id=parent,
                content=drafts.seal_object("content", {"text": message.content}),
                tokens=message.tokens,
            )
        )
        parent = message.id
    _open(session, command, command.message_id, drafts)


def _regenerate(session: Session, command: RegenerateReply, drafts: EventBuilder) -> None:
    require_no_open_turn(session)
    message_id = command.message_id
    if message_id is None:
        asked = (at for at, place in session.line(session.leaf_message_id) if place.role == "user")
        message_id = next(asked, None)
    place = None if message_id is None else session.messages.get(message_id)
    if message_id is None or place is None or place.role != "user":
        raise MessageNotFound
    _require_new(session, command.reply_id, command.turn_id)
    _open(session, command, message_id, drafts)


def _open(
    session: Session,
    command: SubmitMessage | RegenerateReply,
    message_id: UUID,
    drafts: EventBuilder,
) -> None:
    drafts.add(
        ReplyRequested(
            **drafts.common,
            turn_id=command.turn_id,
            reply_id=command.reply_id,
            parent_message_id=message_id,
            assistant_version=command.assistant_version or session.assistant_version,
            model=command.model,
        )
    )


def _require_new(session: Session, *ids: UUID) -> None:
    new = set(ids)
    taken = new & session.messages.keys() or new & session.ended_turns.keys()
    if len(new) < len(ids) or taken:
        raise IdTaken


def _request_cancel(session: Session, command: RequestCancel, drafts: EventBuilder) -> None:
    if command.turn_id in session.ended_turns:
        return
    turn = _open_turn(session, command.turn_id)
    canceller = turn.cancel_requested_by
    if canceller is None:
        drafts.add(CancelRequested(**drafts.common, turn_id=turn.id))
        canceller = drafts.actor
    if command.unclaimed:
        _cancelled(turn, canceller, drafts)


def _complete(session: Session, command: CompleteReply, drafts: EventBuilder) -> None:
    turn = _open_turn(session, command.turn_id)
    if (canceller := turn.cancel_requested_by) is not None:
        return _cancelled(turn, canceller, drafts, command.content, command)
    drafts.add(
        ReplyCompleted(
            **drafts.common,
            **_ending(turn, command),
            content=drafts.seal_object("content", {"text": command.content}),
            finish_reason=command.finish_reason,
            first_token_ms=command.first_token_ms,
            total_ms=command.total_ms,
        )
    )


def _fail(session: Session, command: FailReply, drafts: EventBuilder) -> None:
    turn, text = _open_turn(session, command.turn_id), command.partial_content
    if (canceller := turn.cancel_requested_by) is not None:
        return _cancelled(turn, canceller, drafts, text, command)
    drafts.add(
        ReplyFailed(
            **drafts.common,
            **_ending(turn, command),
            code=command.code,
            details=drafts.seal("details", command.details),
            partial_content=drafts.seal("partial_content", text),
        )
    )


def _cancelled(
    turn: OpenTurn,
    canceller: Actor,
    drafts: EventBuilder,
    text: str | None = None,
    command: CompleteReply | FailReply | None = None,
) -> None:
    """Once a cancel was acknowledged, a turn ends only as cancelled, however the model ended it."""
    drafts.add(
        ReplyCancelled(
            **drafts.common,
            **_ending(turn, command),
            cancelled_by=canceller,
            partial_content=drafts.seal("partial_content", text),
        )
    )


def _ending(turn: OpenTurn, command: CompleteReply | FailReply | None) -> dict[str, Any]:
    """What the three ends share; without a command no model was asked for a reply."""
    return {
        "turn_id": turn.id,
        "reply_id": turn.reply_id,
        "model": (command and command.model) or turn.model,
        "usage": command and command.usage,
        "price": command and command.price,
    }


def _open_turn(session: Session, turn_id: UUID) -> OpenTurn:
    if session.open_turn is not None and session.open_turn.id == turn_id:
        return session.open_turn
    if turn_id in session.ended_turns:
        raise TurnAlreadyEnded(turn_id, session.ended_turns[turn_id])
    raise TurnNotFound
