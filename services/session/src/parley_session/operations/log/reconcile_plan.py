"""What the store takes back from the log of one session: all that goes on where the store ends."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_events.cloudevents import Record
from parley_events.session import (
    CancelRequested,
    CompletionServed,
    Event,
    MessageImported,
    MessageSubmitted,
    ReplyEnded,
    ReplyRequested,
    SessionStarted,
)


@dataclass(frozen=True, slots=True)
class LogOnlyEvents:
    """A record that the store does not hold; `stored_id` is the event it has in its place."""

    sequence: int
    record: Record
    stored_id: UUID | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to take, in order; and the sequence at which store and log fork, or a gap opens."""

    take: Sequence[Record] = ()
    forks_at: int | None = None
    gap_before: int | None = None


def plan(version: int, unmatched: Sequence[LogOnlyEvents]) -> Plan:
    """For a session at `version`, and what else the log has of it, in the log's order."""
    take: list[Record] = []
    for logged in unmatched:
        following = version + len(take) + 1
        if logged.stored_id is not None:
            # Which of the two happened is for people to say.
            return Plan(forks_at=logged.sequence)
        if logged.sequence > following:
            return Plan(take, gap_before=logged.sequence)
        if logged.sequence == following:
            take.append(logged.record)
    return Plan(take)


def answered_before(events: Sequence[Event]) -> set[UUID]:
    """The messages that the events answer, and that came before them."""
    answered = {e.data.parent_message_id for e in events if isinstance(e.data, ReplyRequested)}
    return answered - idempotency_keys_in(events).keys()


def idempotency_keys_in(events: Sequence[Event]) -> dict[UUID, int]:
    """The messages among the events, with their sequences."""
    return {
        e.data.message_id: e.sequence
        for e in events
        if isinstance(e.data, MessageSubmitted | MessageImported)
    }


def is_contiguous(version: int, events: Sequence[Event], messages: Collection[UUID]) -> bool:
    """Whether a session at `version` with these messages can go on with the events."""
    started = [isinstance(event.data, SessionStarted | CompletionServed) for event in events]
    begins_once = started == [version == 0, *[False] * (len(events) - 1)]
    return begins_once and answered_before(events) <= set(messages)


def one_turn_change_each(
    events: Sequence[Event], values: Sequence[bytes]
) -> Iterator[tuple[Sequence[Event], Sequence[bytes]]]:
    """Cut where a turn changes: one statement would not see what it did to the turn before."""
    start = 0
    for end, event in enumerate(events, start=1):
        changes_turn = isinstance(event.data, ReplyRequested | CancelRequested | ReplyEnded)
        if changes_turn or end == len(events):
            yield events[start:end], values[start:end]
            start = end
