"""Where an event stands to what was applied of its session: the rule of every consumer."""

from enum import Enum, auto

from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord
from parley_history.domain.rows import SessionRow


class SequenceCheck(Enum):
    NEXT = auto()
    REPEAT = auto()
    FORK = auto()
    """Later than what stands at its place already: the store lost events and went on without."""
    BEYOND = auto()
    """One before it is missing."""


def order_of(session: SessionRow | None, event: Event | DiscardedRecord) -> SequenceCheck:
    version = session.version if session else 0
    if event.sequence == version + 1:
        return SequenceCheck.NEXT
    if event.sequence > version:
        return SequenceCheck.BEYOND
    # Ids increase along a session, so a later id was not among those applied.
    assert session is not None
    return SequenceCheck.FORK if event.id > session.last_event_id else SequenceCheck.REPEAT
