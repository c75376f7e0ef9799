"""Access checks: the session exists, is not deleted or erased, and belongs to the actor."""

from parley_events.values import Actor
from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.state import Session


def require_not_erased(session: Session | None) -> Session:
    """Raises SessionNotFound, also for an erased session."""
    if session is None or session.erased:
        raise SessionNotFound
    return session


def require_not_deleted(session: Session) -> Session:
    """Raises SessionNotFound: until it is restored, a deleted session looks like an unknown one."""
    if session.deleted:
        raise SessionNotFound
    return session


def require_owner(session: Session, actor: Actor) -> Session:
    """Raises SessionNotFound: a session of somebody else looks like an unknown one."""
    if (session.tenant, session.owner) != (actor.tenant, actor.user):
        raise SessionNotFound
    return session
