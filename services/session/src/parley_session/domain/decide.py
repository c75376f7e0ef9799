"""The rules of a session: a command and the state become events, or a refusal."""

from typing import Any, assert_never
from uuid import UUID

from parley_core.events import (
    Actor,
    CancelRequested,
    Event,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
    SessionStarted,
)
from parley_session.domain.commands import (
    Command,
    CompleteReply,
    FailReply,
    RequestCancel,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.drafts import Drafts, Moment, Seal
from parley_session.domain.refusals import (
    IdTaken,
    ParentUnknown,
    SessionIdUnavailable,
    SessionUnknown,
    TurnAlreadyEnded,
    TurnOpen,
    TurnUnknown,
)
from parley_session.domain.state import OpenTurn, Session


def decide(session: Session | None, command: Command, moment: Moment, seal: Seal) -> list[Event]:
    """Return the events that `command` makes of `session`; none when it asks for what already is.

    Raises a `Refusal`. Who may end a turn is settled by the claim, before this is called; every
    other command is the owner's alone.
    """
    match command:
        case StartSession():
            return _start(session, command, moment, seal)
        case SubmitMessage():
            return _submit(_owned(session, moment), command, moment, seal)
        case RequestCancel():
            return _request_cancel(_owned(session, moment), command, moment, seal)
        case CompleteReply():
            return _complete(_existing(session), command, moment, seal)
        case FailReply():
            return _fail(_existing(session), command, moment, seal)
        case other:
            assert_never(other)


def _start(
    session: Session | None, command: StartSession, moment: Moment, seal: Seal
) -> list[Event]:
    if session is not None:
        raise SessionIdUnavailable
    drafts = Drafts(command.session_id, None, moment, seal)
    metadata = command.metadata
    drafts.add(
        SessionStarted(
            **drafts.common,
            owner=moment.actor.user,
            tenant=moment.actor.tenant,
            assistant_id=command.assistant_id,
            assistant_version=command.assistant_version,
            title=drafts.seal("title", command.title),
            metadata=None if metadata is None else drafts.seal_object("metadata", metadata),
        )
    )
    return drafts.events


def _submit(session: Session, command: SubmitMessage, moment: Moment, seal: Seal) -> list[Event]:
    if session.open_turn is not None:
        raise TurnOpen(session.open_turn.id)
    parent = command.parent_message_id or session.leaf_message_id
    if parent is not None and parent not in session.messages:
        raise ParentUnknown
    taken = session.messages.keys() | session.ended_turns.keys()
    new = {command.message_id, command.reply_id, command.turn_id}
    if len(new) < 3 or taken & new:
        raise IdTaken
    drafts = Drafts(session.id, session, moment, seal)
    drafts.add(
        MessageSubmitted(
            **drafts.common,
            message_id=command.message_id,
            parent_message_id=parent,
            content=drafts.seal_object("content", {"text": command.content}),
        )
    )
    drafts.add(
        ReplyRequested(
            **drafts.common,
            turn_id=command.turn_id,
            reply_id=command.reply_id,
            parent_message_id=command.message_id,
            assistant_version=session.assistant_version,
            model=command.model,
        )
    )
    return drafts.events


def _request_cancel(
    session: Session, command: RequestCancel, moment: Moment, seal: Seal
) -> list[Event]:
    if command.turn_id in session.ended_turns:
        return []
    if _open_turn(session, command.turn_id).cancel_requested_by is not None:
        return []
    drafts = Drafts(session.id, session, moment, seal)
    drafts.add(CancelRequested(**drafts.common, turn_id=command.turn_id))
    return drafts.events


def _complete(session: Session, command: CompleteReply, moment: Moment, seal: Seal) -> list[Event]:
    turn = _open_turn(session, command.turn_id)
    drafts = Drafts(session.id, session, moment, seal)
    if (canceller := turn.cancel_requested_by) is not None:
        return _cancelled(turn, canceller, command, command.content, drafts)
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
    return drafts.events


def _fail(session: Session, command: FailReply, moment: Moment, seal: Seal) -> list[Event]:
    turn = _open_turn(session, command.turn_id)
    drafts = Drafts(session.id, session, moment, seal)
    if (canceller := turn.cancel_requested_by) is not None:
        return _cancelled(turn, canceller, command, command.partial_content, drafts)
    drafts.add(
        ReplyFailed(
            **drafts.common,
            **_ending(turn, command),
            code=command.code,
            details=drafts.seal("details", command.details),
            partial_content=drafts.seal("partial_content", command.partial_content),
        )
    )
    return drafts.events


def _cancelled(
    turn: OpenTurn,
    canceller: Actor,
    command: CompleteReply | FailReply,
    text: str | None,
    drafts: Drafts,
) -> list[Event]:
    """Once a cancel was acknowledged, a turn ends only as cancelled, however the model ended it."""
    drafts.add(
        ReplyCancelled(
            **drafts.common,
            **_ending(turn, command),
            cancelled_by=canceller,
            partial_content=drafts.seal("partial_content", text),
        )
    )
    return drafts.events


def _ending(turn: OpenTurn, command: CompleteReply | FailReply) -> dict[str, Any]:
    return {
        "turn_id": turn.id,
        "reply_id": turn.reply_id,
        "model": turn.model,
        "usage": command.usage,
        "price": command.price,
    }


def _existing(session: Session | None) -> Session:
    if session is None:
        raise SessionUnknown
    return session


def _owned(session: Session | None, moment: Moment) -> Session:
    session = _existing(session)
    if (session.tenant, session.owner) != (moment.actor.tenant, moment.actor.user):
        raise SessionUnknown
    return session


def _open_turn(session: Session, turn_id: UUID) -> OpenTurn:
    if session.open_turn is not None and session.open_turn.id == turn_id:
        return session.open_turn
    if turn_id in session.ended_turns:
        raise TurnAlreadyEnded(turn_id, session.ended_turns[turn_id])
    raise TurnUnknown
