"""The event store against the log: whether they hold the same events, in the order promised."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from parley_events.cloudevents import Record
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.first_appearances import Appearance, FirstAppearances


@dataclass(frozen=True, slots=True)
class StoredStream:
    """What the store says of one session.

    `version` is None when the session has events and no row. `not_later` is the first event whose
    id or time does not come after the one before it, `first_queued` the first in the outbox.
    """

    session_id: UUID
    version: int | None
    events: int
    last: int
    not_later: int | None = None
    first_queued: int | None = None


class Comparison:
    """Collects what differs; it holds about 300 bytes a session, however long the session is.

    `checksum` is the sum, modulo 2^128, of a digest of each event of the log: the same whatever
    the order of the partitions, and however often an event was repeated.
    """

    def __init__(self) -> None:
        self.differences = DifferenceList()
        self.events = self.repeats = self.checksum = 0
        self._due: dict[UUID, int] = {}
        self._appeared = FirstAppearances()
        self._out_of_order: set[UUID] = set()

    @property
    def sessions(self) -> int:
        return len(self._due)

    @property
    def due(self) -> int:
        """How many events the store has handed to the log."""
        return sum(self._due.values())

    def expect(self, stream: StoredStream) -> None:
        """A session as it is stored: all that its outbox does not hold has to be in the log."""
        session_id, version = stream.session_id, stream.version
        if version is None:
            self.differences.add(f"Session {session_id} has events in the store, and no row.")
        elif not stream.events == stream.last == version:
            self.differences.add(
                f"Session {session_id} is at version {version} in the store, and has "
                f"{stream.events} events, the last of them {stream.last}."
            )
        if stream.not_later is not None:
            self.differences.add(
                f"Event {stream.not_later} of session {session_id} has an id or a time in the "
                "store that does not come after the one before."
            )
        queued = stream.first_queued
        self._due[session_id] = stream.last if queued is None else queued - 1

    def compare(
        self, session_id: UUID, sequence: int, record: Record, stored: Record | None
    ) -> None:
        """A record as it comes in the log; `stored` is the one that the store would send."""
        if stored is None:
            self.differences.add(
                f"Event {sequence} of session {session_id} is in the log, and not in the store."
            )
        elif parts := _differing(record, stored):
            self.differences.add(
                f"Event {sequence} of session {session_id} is not the same in the log as in the "
                f"store: {', '.join(parts)}."
            )
        match self._appeared.add(session_id, sequence):
            case Appearance.FIRST:
                self.events += 1
                self.checksum = (self.checksum + _digest(record)) % 2**128
            case Appearance.REPEAT:
                self.repeats += 1
            case Appearance.EARLY:
                self._early(session_id, sequence)

    def finish(self) -> None:
        """The log is read to its end: what was due has to have appeared."""
        for session_id, due in self._due.items():
            reached = self._appeared.reached(session_id)
            if reached < due:
                self.differences.add(
                    f"Event {reached + 1} of session {session_id} is in the store, and neither in "
                    "the outbox nor in the log."
                )

    def _early(self, session_id: UUID, sequence: int) -> None:
        # All that follow a gap come too early: said once.
        if session_id not in self._out_of_order:
            self._out_of_order.add(session_id)
            reached = self._appeared.reached(session_id)
            self.differences.add(
                f"Event {sequence} of session {session_id} appears in the log before event "
                f"{reached + 1}."
            )


def _differing(one: Record, other: Record) -> list[str]:
    if [*one.headers] == [*other.headers]:
        parts = []
    else:
        headers, others = dict(one.headers), dict(other.headers)
        names = sorted(headers.keys() | others.keys())
        parts = [name for name in names if headers.get(name) != others.get(name)]
        parts = parts or ["the order of its headers"]
    if one.key != other.key:
        parts.append("key")
    if one.value != other.value:
        parts.append("value")
    return parts


def _digest(record: Record) -> int:
    parts = [record.key, record.value]
    for name, text in record.headers:
        parts += name.encode(), text
    # With their lengths, so that no part can be read as the next one's beginning.
    lengths = repr([*map(len, parts)]).encode()
    digest = hashlib.blake2b(b"".join([lengths, *parts]), digest_size=16)
    return int.from_bytes(digest.digest(), "big")
