"""Whose a session is, and whether there is one to speak of."""

from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import Session


def existing(session: Session | None) -> Session:
    """Raises SessionNotFound also for one that was deleted or erased."""
    session = not_erased(session)
    if session.deleted:
        raise SessionNotFound
    return session


def not_erased(session: Session | None) -> Session:
    if session is None or session.erased:
        raise SessionNotFound
    return session


def owned(session: Session, moment: CommandMetadata) -> Session:
    """Raises SessionNotFound: another person's looks like none."""
    if (session.tenant, session.owner) != (moment.actor.tenant, moment.actor.user):
        raise SessionNotFound
    return session
