"""What became of dead letters that were applied again."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from parley_events.session import Event
from parley_history.domain.batch import BatchState
from parley_history.domain.discarded_record import DiscardedRecord, record_digest
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.operations.dead_letters.repository import Place


class RetryOutcome(Enum):
    APPLIED = "applied"
    HELD = "held: one before it is missing"
    REPEAT = "dropped: a repeat"
    DISCARDED = "discarded"
    PARKED = "parked again"


class Outcome(NamedTuple):
    """`error` says why a letter was parked again."""

    place: Place
    became: RetryOutcome
    error: str | None = None


def outcomes_of(
    arrivals: Sequence[IncomingRecord],
    before: BatchState,
    after: BatchState,
    errors: Mapping[Place, str],
) -> Sequence[Outcome]:
    """`errors` are those of the arrivals that are dead letters again."""
    held = {
        Place(arrival.partition, arrival.offset)
        for of_session in after.held.values()
        for arrival in of_session.values()
    }
    filled: set[tuple[UUID, int]] = set()

    def moves(event: Event | DiscardedRecord) -> bool:
        """Whether it is the one by which its session came to that version."""
        filling = (event.session_id, event.sequence)
        first = filling not in filled
        filled.add(filling)
        return first and _version(before, event) < event.sequence <= _version(after, event)

    def became(arrival: IncomingRecord) -> Outcome:
        place = Place(arrival.partition, arrival.offset)
        if place in errors:
            return Outcome(place, RetryOutcome.PARKED, errors[place])
        discarded = record_digest(arrival.record) in before.discarded
        event = arrival.as_discarded().event if discarded else arrival.event
        moved = event is not None and moves(event)
        if discarded:
            return Outcome(place, RetryOutcome.DISCARDED)
        if place in held:
            return Outcome(place, RetryOutcome.HELD)
        return Outcome(place, RetryOutcome.APPLIED if moved else RetryOutcome.REPEAT)

    return [became(arrival) for arrival in arrivals]


def _version(known: BatchState, event: Event | DiscardedRecord) -> int:
    session = known.sessions.get(event.session_id)
    return session.version if session else 0
