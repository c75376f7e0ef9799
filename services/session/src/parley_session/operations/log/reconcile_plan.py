"""Plans the recovery of one session from the log: the events that continue the store's version."""

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
class LogOnlyEvent:
    """A record that is not in the store; `stored_id` is another event with its sequence."""

    sequence: int
    record: Record
    stored_id: UUID | None


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """Records to append, in order, and the sequence at which the streams fork or have a gap."""

    records: Sequence[Record] = ()
    forks_at: int | None = None
    gap_before: int | None = None


def plan_recovery(version: int, log_only: Sequence[LogOnlyEvent]) -> RecoveryPlan:
    """For a session at `version`, from its events that only the log has, in log order."""
    records: list[Record] = []
    for logged in log_only:
        next_sequence = version + len(records) + 1
        if logged.stored_id is not None:
            # Only an operator can decide which of the two events is valid.
            return RecoveryPlan(forks_at=logged.sequence)
        if logged.sequence > next_sequence:
            return RecoveryPlan(records, gap_before=logged.sequence)
        if logged.sequence == next_sequence:
            records.append(logged.record)
    return RecoveryPlan(records)


def earlier_parent_messages(events: Sequence[Event]) -> set[UUID]:
    """The messages that the events reply to, but do not contain."""
    parents = {e.data.parent_message_id for e in events if isinstance(e.data, ReplyRequested)}
    return parents - message_sequences_in(events).keys()


def message_sequences_in(events: Sequence[Event]) -> dict[UUID, int]:
    """The sequences of the messages among the events."""
    return {
        e.data.message_id: e.sequence
        for e in events
        if isinstance(e.data, MessageSubmitted | MessageImported)
    }


def is_contiguous(version: int, events: Sequence[Event], messages: Collection[UUID]) -> bool:
    """Whether the events can follow a session at `version` that has these messages."""
    starts = [isinstance(event.data, SessionStarted | CompletionServed) for event in events]
    starts_once = starts == [version == 0, *[False] * (len(events) - 1)]
    return starts_once and earlier_parent_messages(events) <= set(messages)


def split_at_turn_changes(
    events: Sequence[Event], values: Sequence[bytes]
) -> Iterator[tuple[Sequence[Event], Sequence[bytes]]]:
    """Batches that change at most one turn: one statement cannot update a row twice."""
    start = 0
    for end, event in enumerate(events, start=1):
        changes_turn = isinstance(event.data, ReplyRequested | CancelRequested | ReplyEnded)
        if changes_turn or end == len(events):
            yield events[start:end], values[start:end]
            start = end
