"""Decides commands on turns: submit, regenerate, cancel, complete, fail."""

from collections.abc import Mapping
from typing import Any, assert_never
from uuid import UUID

from parley_events.session import (
    CancelRequested,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
)
from parley_events.values import Actor
from parley_session.domain.session.access import require_owner
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
from parley_session.domain.session.event_builder import EventBuilder
from parley_session.domain.session.state import OpenTurn, Session


def decide_turn(session: Session, command: TurnCommand, builder: EventBuilder) -> None:
    match command:
        case SubmitMessage():
            _submit(require_owner(session, builder.actor), command, builder)
        case RegenerateReply():
            _regenerate(require_owner(session, builder.actor), command, builder)
        case RequestCancel():
            _request_cancel(require_owner(session, builder.actor), command, builder)
        case CompleteReply():
            _complete(session, command, builder)
        case FailReply():
            _fail(session, command, builder)
        case other:
            assert_never(other)


def require_no_open_turn(session: Session) -> None:
    if session.open_turn is not None:
        turn = session.open_turn
        raise TurnOpen(turn.id, cancelled=turn.cancel_requested_by is not None)


def cancel_open_turn(session: Session, builder: EventBuilder) -> None:
    """Cancel the open turn, if any, without waiting for its runner."""
    if session.open_turn is not None:
        _cancelled(session.open_turn, builder.actor, builder)


def _submit(session: Session, command: SubmitMessage, builder: EventBuilder) -> None:
    parent = None if command.as_root else command.parent_message_id or session.leaf_message_id
    # Checked first: a wrong request must not stop the open turn, whose reply it may follow.
    if not (parent is None or parent in session.messages or _is_open_reply(session, parent)):
        raise ParentNotFound
    require_no_open_turn(session)
    last = UserMessage(command.message_id, command.content, command.tokens)
    messages = [*command.preceding, last]
    _require_new(session, *(message.id for message in messages), command.reply_id, command.turn_id)
    for message in messages:
        builder.add(
            MessageSubmitted(
                **builder.common_fields,
                message_id=message.id,
                parent_message_id=parent,
                content=builder.seal_object("content", {"text": message.content}),
                tokens=message.tokens,
            )
        )
        parent = message.id
    _open(session, command, command.message_id, builder, command.parameters)


def _regenerate(session: Session, command: RegenerateReply, builder: EventBuilder) -> None:
    message_id = command.message_id
    if message_id is None:
        branch = session.branch_to(session.leaf_message_id)
        message_id = next((each_id for each_id, node in branch if node.role == "user"), None)
    node = None if message_id is None else session.messages.get(message_id)
    if message_id is None or node is None or node.role != "user":
        raise MessageNotFound
    require_no_open_turn(session)
    _require_new(session, command.reply_id, command.turn_id)
    _open(session, command, message_id, builder)


def _open(
    session: Session,
    command: SubmitMessage | RegenerateReply,
    message_id: UUID,
    builder: EventBuilder,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    builder.add(
        ReplyRequested(
            **builder.common_fields,
            turn_id=command.turn_id,
            reply_id=command.reply_id,
            parent_message_id=message_id,
            assistant_version=command.assistant_version or session.assistant_version,
            model=command.model,
            parameters=builder.seal_object("parameters", dict(parameters)) if parameters else None,
        )
    )


def _is_open_reply(session: Session, message_id: UUID) -> bool:
    return session.open_turn is not None and session.open_turn.reply_id == message_id


def _require_new(session: Session, *ids: UUID) -> None:
    new = set(ids)
    taken = new & session.messages.keys() or new & session.ended_turns.keys()
    if len(new) < len(ids) or taken:
        raise IdTaken


def _request_cancel(session: Session, command: RequestCancel, builder: EventBuilder) -> None:
    if command.turn_id in session.ended_turns:
        return
    turn = _open_turn(session, command.turn_id)
    canceller = turn.cancel_requested_by
    if canceller is None:
        builder.add(CancelRequested(**builder.common_fields, turn_id=turn.id))
        canceller = builder.actor
    if command.unclaimed:
        _cancelled(turn, canceller, builder)


def _complete(session: Session, command: CompleteReply, builder: EventBuilder) -> None:
    turn = _open_turn(session, command.turn_id)
    if (canceller := turn.cancel_requested_by) is not None:
        return _cancelled(turn, canceller, builder, command.content, command)
    builder.add(
        ReplyCompleted(
            **builder.common_fields,
            **_ending(turn, command),
            content=builder.seal_object("content", {"text": command.content}),
            finish_reason=command.finish_reason,
            first_token_ms=command.first_token_ms,
            total_ms=command.total_ms,
        )
    )


def _fail(session: Session, command: FailReply, builder: EventBuilder) -> None:
    turn, text = _open_turn(session, command.turn_id), command.partial_content
    if (canceller := turn.cancel_requested_by) is not None:
        return _cancelled(turn, canceller, builder, text, command)
    builder.add(
        ReplyFailed(
            **builder.common_fields,
            **_ending(turn, command),
            code=command.code,
            details=builder.seal("details", command.details),
            partial_content=builder.seal("partial_content", text),
        )
    )


def _cancelled(
    turn: OpenTurn,
    canceller: Actor,
    builder: EventBuilder,
    text: str | None = None,
    command: CompleteReply | FailReply | None = None,
) -> None:
    """After an acknowledged cancel a turn ends only as cancelled, whatever the model did."""
    builder.add(
        ReplyCancelled(
            **builder.common_fields,
            **_ending(turn, command),
            cancelled_by=canceller,
            partial_content=builder.seal("partial_content", text),
        )
    )


def _ending(turn: OpenTurn, command: CompleteReply | FailReply | None) -> dict[str, Any]:
    """Fields of all three end events; without a command no model was called."""
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
