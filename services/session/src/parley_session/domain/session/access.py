"""Whose a session is, and whether there is one to speak of."""

from parley_session.domain.session.errors import SessionUnknown
from parley_session.domain.session.event_builder import Moment
from parley_session.domain.session.state import Session


def existing(session: Session | None) -> Session:
    """Raises SessionUnknown also for one that was deleted or erased."""
    session = not_erased(session)
    if session.deleted:
        raise SessionUnknown
    return session


def not_erased(session: Session | None) -> Session:
    if session is None or session.erased:
        raise SessionUnknown
    return session


def owned(session: Session, moment: Moment) -> Session:
    """Raises SessionUnknown: another person's looks like none."""
    if (session.tenant, session.owner) != (moment.actor.tenant, moment.actor.user):
        raise SessionUnknown
    return session
