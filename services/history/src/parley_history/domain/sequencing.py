"""Sequence check of an event against its session: next, repeat, fork or out of order."""

from enum import Enum, auto

from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord
from parley_history.domain.rows import SessionRow


class SequenceCheck(Enum):
    NEXT = auto()
    REPEAT = auto()
    FORK = auto()
    """A later id at a sequence that was already applied: the event store lost events."""
    BEYOND = auto()
    """An earlier event of the session is missing."""


def check_sequence(session: SessionRow | None, event: Event | DiscardedRecord) -> SequenceCheck:
    version = session.version if session else 0
    if event.sequence == version + 1:
        return SequenceCheck.NEXT
    if event.sequence > version:
        return SequenceCheck.BEYOND
    # Ids increase along a session, so a later id cannot be among those applied.
    assert session is not None
    return SequenceCheck.FORK if event.id > session.last_event_id else SequenceCheck.REPEAT
