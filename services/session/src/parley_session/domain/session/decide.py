"""Decides commands on a session: state and command become events, or a DomainError. Pure."""

from typing import assert_never

from parley_events.session import Event
from parley_session.domain.session.access import (
    require_not_deleted,
    require_not_erased,
    require_owner,
)
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
from parley_session.domain.session.errors import SessionIdUnavailable
from parley_session.domain.session.event_builder import CommandMetadata, EventBuilder, Seal
from parley_session.domain.session.state import Session


def decide(
    session: Session | None, command: Command, command_metadata: CommandMetadata, seal: Seal
) -> list[Event]:
    """Return the events that result from `command`; none if it changes nothing.

    Raises a DomainError. Only the owner may send a command, with these exceptions: the runner of
    the turn ends it (checked by the claim), an administrator sets a legal hold (checked by
    scope), and Parley itself erases sessions, suggests titles and compacts the context.
    """
    if isinstance(command, StartSession):
        if session is not None:
            raise SessionIdUnavailable
        builder = EventBuilder(command.session_id, None, command_metadata, seal)
        start(command, builder)
        return builder.events
    session = require_not_erased(session)
    builder = EventBuilder(session.id, session, command_metadata, seal)
    match command:
        case ChangeSession():
            change(session, command, builder)
        case SuggestTitle():
            suggest_title(require_not_deleted(session), command, builder)
        case DeleteSession() | RestoreSession() | EraseSession():
            decide_lifecycle(session, command, builder)
        case ImportMessages():
            owned = require_owner(require_not_deleted(session), builder.actor)
            import_messages(owned, command, builder)
        case CompactContext():
            compact_context(require_not_deleted(session), command, builder)
        case SubmitMessage() | RegenerateReply() | RequestCancel() | CompleteReply() | FailReply():
            decide_turn(require_not_deleted(session), command, builder)
        case other:
            assert_never(other)
    return builder.events
