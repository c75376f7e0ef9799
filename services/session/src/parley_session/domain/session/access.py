"""Access checks: the session exists, is not deleted or erased, and belongs to the actor."""

from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import Session


def require_existing(session: Session | None) -> Session:
    """Raises SessionNotFound, also for a deleted or erased session."""
    session = require_not_erased(session)
    if session.deleted:
        raise SessionNotFound
    return session


def require_not_erased(session: Session | None) -> Session:
    """Raises SessionNotFound, also for an erased session."""
    if session is None or session.erased:
        raise SessionNotFound
    return session


def require_owner(session: Session, command_metadata: CommandMetadata) -> Session:
    """Raises SessionNotFound: a session of somebody else looks like an unknown one."""
    if (session.tenant, session.owner) != (
        command_metadata.actor.tenant,
        command_metadata.actor.user,
    ):
        raise SessionNotFound
    return session
