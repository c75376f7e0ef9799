"""The consumer rule: which records of an at-least-once log to apply, and which to drop.

Within a session, sequences are contiguous from 1 and ids increase; the first occurrences of its
events are in order, and repeats may follow at any later time (docs/events.md).
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

Id = TypeVar("Id", bound=Hashable)
"""An event id that compares like the UUID: a `UUID`, or its usual text as `str` or `bytes`."""
Item = TypeVar("Item")


class SequenceCheck(Enum):
    NEXT = auto()
    REPEAT = auto()
    FORK = auto()
    """A later id at a sequence that was already applied: the event store lost events."""
    BEYOND = auto()
    """An earlier event of the session is missing."""


class Applied(NamedTuple, Generic[Id]):
    """The sequence and id of the last event of a session that was applied."""

    sequence: int
    id: Id


def check_sequence(applied: "Applied[Id] | None", sequence: int, event_id: Id) -> SequenceCheck:
    """Compare an event with the last one of its session that was applied."""
    last = applied.sequence if applied else 0
    if sequence == last + 1:
        return SequenceCheck.NEXT
    if sequence > last:
        return SequenceCheck.BEYOND
    # Ids increase along a session, so a later id cannot be among those applied.
    assert applied is not None
    later = event_id > applied.id  # type: ignore[operator]
    return SequenceCheck.FORK if later else SequenceCheck.REPEAT


class TooManyDeferred(Exception):
    """More events than the limit wait for missing ones: the log is incomplete."""


class ConsumerRule(Generic[Id, Item]):
    """Applies the rule to the records of many sessions, in memory: about 250 bytes per session.

    `applied` maps sessions to their last applied event. `deferred` has the records that wait for a
    missing event, by session and sequence. `forked` maps the sessions whose store has forked to the
    sequence at which it did; their later records are dropped. A consumer that stores these three
    with the effect of the records and its positions in the log applies each event exactly once; it
    restores the deferred records by passing them to `receive` again.

    With `starts_anywhere`, the log is read from its middle: the first event seen of a session and
    those after a gap are applied as they come, because what precedes them was not read.
    """

    def __init__(
        self,
        applied: Mapping[bytes, Applied[Id]] | None = None,
        *,
        max_deferred: int = 10_000,
        starts_anywhere: bool = False,
    ) -> None:
        self.applied: dict[bytes, Applied[Id]] = dict(applied or {})
        self.deferred: dict[bytes, dict[int, tuple[Id, Item]]] = {}
        self.forked: dict[bytes, int] = {}
        self.repeats = 0
        self.deferred_count = 0
        self._max_deferred, self._starts_anywhere = max_deferred, starts_anywhere

    def receive(self, session: bytes, sequence: int, event_id: Id, item: Item) -> list[Item]:
        """Return the items to apply now, in order: none, this one, or also those that waited.

        `session` is the key of the record. Raises TooManyDeferred.
        """
        applied = self.applied.get(session)
        # Most events are the next ones of sessions without anything special.
        if sequence == (applied[0] + 1 if applied else 1) and not (
            session in self.deferred or session in self.forked
        ):
            self.applied[session] = Applied(sequence, event_id)
            return [item]
        return self._check(session, applied, sequence, event_id, item)

    def apply_all(
        self, sessions: Sequence[bytes], sequences: Sequence[int], event_ids: Sequence[Id]
    ) -> bool:
        """Apply events of which each is the next one of its session; otherwise none of them.

        What `receive` does for ordinary events, for many of them at once. If it returns False,
        pass each of them to `receive`.
        """
        last: dict[bytes, int] = {}
        for session, sequence in zip(sessions, sequences, strict=True):
            if (previous := last.get(session)) is None:
                applied = self.applied.get(session)
                previous = applied[0] if applied else 0
            if sequence != previous + 1:
                return False
            last[session] = sequence
        if not (last.keys().isdisjoint(self.deferred) and last.keys().isdisjoint(self.forked)):
            return False
        ids = dict(zip(sessions, event_ids, strict=True))
        self.applied.update((key, Applied(last[key], ids[key])) for key in last)
        return True

    def _check(
        self,
        session: bytes,
        applied: "Applied[Id] | None",
        sequence: int,
        event_id: Id,
        item: Item,
    ) -> list[Item]:
        if session in self.forked:
            return []
        check = check_sequence(applied, sequence, event_id)
        if check is SequenceCheck.NEXT or (check is SequenceCheck.BEYOND and self._starts_anywhere):
            self.applied[session] = Applied(sequence, event_id)
            return [item, *self._released(session)]
        if check is SequenceCheck.REPEAT:
            self.repeats += 1
        elif check is SequenceCheck.FORK:
            self._fork(session, sequence)
        else:
            self._defer(session, sequence, event_id, item)
        return []

    def _defer(self, session: bytes, sequence: int, event_id: Id, item: Item) -> None:
        waiting = self.deferred.setdefault(session, {})
        if (other := waiting.get(sequence)) is not None:
            if other[0] != event_id:
                self._fork(session, sequence)
            else:
                self.repeats += 1
            return
        if self.deferred_count >= self._max_deferred:
            raise TooManyDeferred(
                f"more than {self._max_deferred:,} events wait for earlier ones that are missing"
            )
        waiting[sequence] = (event_id, item)
        self.deferred_count += 1

    def _fork(self, session: bytes, sequence: int) -> None:
        self.forked[session] = sequence
        self.deferred_count -= len(self.deferred.pop(session, ()))

    def _released(self, session: bytes) -> Iterator[Item]:
        """The deferred items whose predecessors have arrived."""
        waiting = self.deferred.get(session, {})
        while (following := waiting.pop(self.applied[session].sequence + 1, None)) is not None:
            self.deferred_count -= 1
            event_id, item = following
            self.applied[session] = Applied(self.applied[session].sequence + 1, event_id)
            yield item
        if not waiting:
            self.deferred.pop(session, None)
