"""Decides commands on a session: state and command become events, or a DomainError. Pure."""

from typing import assert_never

from parley_events.session import Event
from parley_session.domain.session.access import require_existing, require_owner
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
from parley_session.domain.session.decide_lifecycle import decide_lifecycle
from parley_session.domain.session.decide_messages import compact_context, import_messages
from parley_session.domain.session.decide_turns import decide_turn
from parley_session.domain.session.event_builder import CommandMetadata, Seal
from parley_session.domain.session.state import Session


def decide(
    session: Session | None, command: Command, command_metadata: CommandMetadata, seal: Seal
) -> list[Event]:
    """Return the events that result from `command`; none if it changes nothing.

    Raises a DomainError. Only the owner may send a command, with these exceptions: the runner of
    the turn ends it (checked by the claim), an administrator sets a legal hold (checked by
    scope), and Parley itself erases sessions, suggests titles and compacts the context.
    """
    match command:
        case StartSession():
            return start(session, command, command_metadata, seal)
        case ChangeSession():
            return change(session, command, command_metadata, seal)
        case SuggestTitle():
            return suggest_title(require_existing(session), command, command_metadata, seal)
        case DeleteSession() | RestoreSession() | EraseSession():
            return decide_lifecycle(session, command, command_metadata, seal)
        case ImportMessages():
            return import_messages(
                require_owner(require_existing(session), command_metadata),
                command,
                command_metadata,
                seal,
            )
        case CompactContext():
            return compact_context(require_existing(session), command, command_metadata, seal)
        case SubmitMessage() | RegenerateReply() | RequestCancel() | CompleteReply() | FailReply():
            return decide_turn(require_existing(session), command, command_metadata, seal)
        case other:
            assert_never(other)
