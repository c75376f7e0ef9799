"""How a session ends, and how it is taken back."""

from typing import assert_never

from parley_events.session import Event, SessionDeleted, SessionErased, SessionRestored
from parley_session.domain.session.access import not_erased, owned
from parley_session.domain.session.commands import (
    DeleteSession,
    EraseReason,
    EraseSession,
    LifeCommand,
    RestoreSession,
)
from parley_session.domain.session.decide_turns import cancel_open_turn
from parley_session.domain.session.errors import LegalHold, NotDeleted
from parley_session.domain.session.event_builder import CommandMetadata, EventBuilder, Seal
from parley_session.domain.session.state import Session


def decide_life(
    session: Session | None, command: LifeCommand, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    session = not_erased(session)
    drafts = EventBuilder(session.id, session, moment, seal)
    match command:
        case DeleteSession():
            _delete(owned(session, moment), command, moment, drafts)
        case RestoreSession():
            if not owned(session, moment).deleted:
                raise NotDeleted
            drafts.add(SessionRestored(**drafts.common))
        case EraseSession():
            if _is_due(session, command, moment):
                _erase(session, command.reason, moment, drafts)
        case other:
            assert_never(other)
    return drafts.events


def _delete(
    session: Session, command: DeleteSession, moment: CommandMetadata, drafts: EventBuilder
) -> None:
    if session.deleted:
        return
    # A temporary one is not kept any longer for having been deleted.
    if command.erase_at is None or session.expires_at is not None:
        return _erase(session, "requested", moment, drafts)
    if session.held:
        raise LegalHold
    cancel_open_turn(session, moment.actor, drafts)
    drafts.add(SessionDeleted(**drafts.common, erase_at=command.erase_at))


def _erase(
    session: Session, reason: EraseReason, moment: CommandMetadata, drafts: EventBuilder
) -> None:
    if session.held:
        raise LegalHold
    cancel_open_turn(session, moment.actor, drafts)
    drafts.add(SessionErased(**drafts.common, reason=reason))


def _is_due(session: Session, command: EraseSession, moment: CommandMetadata) -> bool:
    """It may have been restored, or gone on, since somebody found it."""
    if command.reason == "deleted":
        return session.erase_at is not None and session.erase_at <= moment.now
    if command.reason == "expired":
        return session.expires_at is not None and session.expires_at <= moment.now
    return command.idle_since is None or session.updated_at <= command.idle_since
