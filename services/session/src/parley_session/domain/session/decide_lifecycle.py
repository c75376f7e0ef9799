"""Decides commands on the life of a session: delete, restore, erase."""

from datetime import datetime
from typing import assert_never

from parley_events.session import SessionDeleted, SessionErased, SessionRestored
from parley_session.domain.session.access import require_owner
from parley_session.domain.session.commands import (
    DeleteSession,
    EraseReason,
    EraseSession,
    LifecycleCommand,
    RestoreSession,
)
from parley_session.domain.session.decide_turns import cancel_open_turn
from parley_session.domain.session.errors import LegalHold, NotDeleted
from parley_session.domain.session.event_builder import EventBuilder
from parley_session.domain.session.state import Session


def decide_lifecycle(session: Session, command: LifecycleCommand, builder: EventBuilder) -> None:
    match command:
        case DeleteSession():
            _delete(require_owner(session, builder.actor), command, builder)
        case RestoreSession():
            if not require_owner(session, builder.actor).deleted:
                raise NotDeleted
            builder.add(SessionRestored(**builder.common_fields))
        case EraseSession():
            if _is_due(session, command, builder.now):
                _erase(session, command.reason, builder)
        case other:
            assert_never(other)


def _delete(session: Session, command: DeleteSession, builder: EventBuilder) -> None:
    if session.deleted:
        return
    # A temporary session gets no undelete window.
    if command.erase_at is None or session.expires_at is not None:
        return _erase(session, "requested", builder)
    if session.legal_hold:
        raise LegalHold
    cancel_open_turn(session, builder)
    builder.add(SessionDeleted(**builder.common_fields, erase_at=command.erase_at))


def _erase(session: Session, reason: EraseReason, builder: EventBuilder) -> None:
    if session.legal_hold:
        raise LegalHold
    cancel_open_turn(session, builder)
    builder.add(SessionErased(**builder.common_fields, reason=reason))


def _is_due(session: Session, command: EraseSession, now: datetime) -> bool:
    """Whether the reason still holds: the session may have changed since it was selected."""
    if command.reason == "deleted":
        return session.erase_at is not None and session.erase_at <= now
    if command.reason == "expired":
        return session.expires_at is not None and session.expires_at <= now
    return command.unchanged_since is None or session.updated_at <= command.unchanged_since
