"""Outcomes of retried dead letters."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from parley_events.session import Event
from parley_history.domain.batch import BatchState
from parley_history.domain.discarded_record import DiscardedRecord, record_digest
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.operations.dead_letters.repository import RecordLocation


class RetryOutcome(Enum):
    APPLIED = "applied"
    DEFERRED = "deferred: an earlier event is missing"
    REPEAT = "dropped: repeated event"
    DISCARDED = "discarded"
    PARKED = "parked again"


class LetterOutcome(NamedTuple):
    """`error` is the reason why the record was parked again."""

    location: RecordLocation
    outcome: RetryOutcome
    error: str | None = None


def outcomes_of(
    records: Sequence[IncomingRecord],
    before: BatchState,
    after: BatchState,
    errors: Mapping[RecordLocation, str],
) -> Sequence[LetterOutcome]:
    """Compare the states; `errors` has the records that are dead letters again."""
    deferred = {
        RecordLocation(incoming.partition, incoming.offset)
        for deferred_of_session in after.deferred.values()
        for incoming in deferred_of_session.values()
    }
    seen: set[tuple[UUID, int]] = set()

    def advanced_session(event: Event | DiscardedRecord) -> bool:
        """Whether the event is the first of these to bring its session to its sequence."""
        key = (event.session_id, event.sequence)
        is_first = key not in seen
        seen.add(key)
        return is_first and _version(before, event) < event.sequence <= _version(after, event)

    def outcome_of(incoming: IncomingRecord) -> LetterOutcome:
        location = RecordLocation(incoming.partition, incoming.offset)
        if location in errors:
            return LetterOutcome(location, RetryOutcome.PARKED, errors[location])
        discarded = record_digest(incoming.record) in before.discarded
        event = incoming.as_discarded().event if discarded else incoming.event
        advanced = event is not None and advanced_session(event)
        if discarded:
            return LetterOutcome(location, RetryOutcome.DISCARDED)
        if location in deferred:
            return LetterOutcome(location, RetryOutcome.DEFERRED)
        return LetterOutcome(location, RetryOutcome.APPLIED if advanced else RetryOutcome.REPEAT)

    return [outcome_of(incoming) for incoming in records]


def _version(state: BatchState, event: Event | DiscardedRecord) -> int:
    session = state.sessions.get(event.session_id)
    return session.version if session else 0
