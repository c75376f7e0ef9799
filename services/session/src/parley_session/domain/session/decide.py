"""The rules of a session: a command and the state become events, or a refusal."""

from typing import assert_never

from parley_events.session import Event
from parley_session.domain.session.access import existing, owned
from parley_session.domain.session.commands import (
    ChangeSession,
    Command,
    CompactContext,
    CompleteReply,
    DeleteSession,
    EraseSession,
    FailReply,
    ImportMessages,
    RegenerateReply,
    RequestCancel,
    RestoreSession,
    StartSession,
    SubmitMessage,
    SuggestTitle,
)
from parley_session.domain.session.decide_details import change, start, suggest_title
from parley_session.domain.session.decide_lifecycle import decide_life
from parley_session.domain.session.decide_messages import compact_context, import_messages
from parley_session.domain.session.decide_turns import decide_turn
from parley_session.domain.session.event_builder import CommandMetadata, Seal
from parley_session.domain.session.state import Session


def decide(
    session: Session | None, command: Command, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    """Return the events that `command` makes of `session`; none when it asks for what already is.

    Raises a `DomainError`. Who may end a turn is settled by the claim, and who may place a legal
    hold by the scope, before this is called; what Parley itself asks for is nobody's; every other
    command is the owner's alone.
    """
    match command:
        case StartSession():
            return start(session, command, moment, seal)
        case ChangeSession():
            return change(session, command, moment, seal)
        case SuggestTitle():
            return suggest_title(existing(session), command, moment, seal)
        case DeleteSession() | RestoreSession() | EraseSession():
            return decide_life(session, command, moment, seal)
        case ImportMessages():
            return import_messages(owned(existing(session), moment), command, moment, seal)
        case CompactContext():
            return compact_context(existing(session), command, moment, seal)
        case SubmitMessage() | RegenerateReply() | RequestCancel() | CompleteReply() | FailReply():
            return decide_turn(existing(session), command, moment, seal)
        case other:
            assert_never(other)
