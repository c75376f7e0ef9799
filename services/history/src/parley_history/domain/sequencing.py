"""Sequence check of an event against the row of its session, by the consumer rule."""

from parley_events import consumer_rule
from parley_events.consumer_rule import Applied, SequenceCheck
from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord
from parley_history.domain.rows import SessionRow


def check_sequence(session: SessionRow | None, event: Event | DiscardedRecord) -> SequenceCheck:
    applied = Applied(session.version, session.last_event_id) if session else None
    return consumer_rule.check_sequence(applied, event.sequence, event.id)
