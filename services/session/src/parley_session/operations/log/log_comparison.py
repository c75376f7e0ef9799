"""Compares the event store with the log: same events, and first appearances in order."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from parley_events.cloudevents import Record
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.first_appearances import Appearance, FirstAppearances


@dataclass(frozen=True, slots=True)
class StoredStream:
    """One session in the store.

    `version` is None if the session has events but no row. `not_later` is the first event whose
    id or time is not later than the previous one's, `first_queued` the first in the outbox.
    """

    session_id: UUID
    version: int | None
    events: int
    last: int
    not_later: int | None = None
    first_queued: int | None = None


class LogComparison:
    """Collects differences; uses about 300 bytes per session, whatever its length.

    `checksum` is the sum, modulo 2^128, of the digests of the events in the log. It depends
    neither on the order of the partitions nor on repeats.
    """

    def __init__(self) -> None:
        self.differences = DifferenceList()
        self.events = self.repeats = self.checksum = 0
        self._published: dict[UUID, int] = {}
        self._appearances = FirstAppearances()
        self._out_of_order: set[UUID] = set()

    @property
    def sessions(self) -> int:
        return len(self._published)

    @property
    def published(self) -> int:
        """How many events have left the outbox of the store."""
        return sum(self._published.values())

    def expect(self, stream: StoredStream) -> None:
        """Register a stored session: its events that are not queued must be in the log."""
        session_id, version = stream.session_id, stream.version
        if version is None:
            self.differences.add(f"Session {session_id} has events in the store, but no row.")
        elif not stream.events == stream.last == version:
            self.differences.add(
                f"Session {session_id} is at version {version} in the store, but has "
                f"{stream.events} events with {stream.last} as the last sequence."
            )
        if stream.not_later is not None:
            self.differences.add(
                f"Event {stream.not_later} of session {session_id} has an id or a time in the "
                "store that is not later than that of the previous event."
            )
        queued = stream.first_queued
        self._published[session_id] = stream.last if queued is None else queued - 1

    def compare(
        self, session_id: UUID, sequence: int, record: Record, stored: Record | None
    ) -> None:
        """Compare the next record of the log with the one that the store would publish."""
        if stored is None:
            self.differences.add(
                f"Event {sequence} of session {session_id} is in the log, but not in the store."
            )
        elif parts := _differing_parts(record, stored):
            self.differences.add(
                f"Event {sequence} of session {session_id} differs between log and store: "
                f"{', '.join(parts)}."
            )
        match self._appearances.add(session_id, sequence):
            case Appearance.FIRST:
                self.events += 1
                self.checksum = (self.checksum + _digest(record)) % 2**128
            case Appearance.REPEAT:
                self.repeats += 1
            case Appearance.EARLY:
                self._early(session_id, sequence)

    def finish(self) -> None:
        """Call at the end of the log: reports expected events that did not appear."""
        for session_id, published in self._published.items():
            last = self._appearances.last_contiguous(session_id)
            if last < published:
                self.differences.add(
                    f"Event {last + 1} of session {session_id} is in the store, but neither in "
                    "the outbox nor in the log."
                )

    def _early(self, session_id: UUID, sequence: int) -> None:
        # Every event after a gap is early: report only the first.
        if session_id not in self._out_of_order:
            self._out_of_order.add(session_id)
            last = self._appearances.last_contiguous(session_id)
            self.differences.add(
                f"Event {sequence} of session {session_id} appears in the log before event "
                f"{last + 1}."
            )


def _differing_parts(one: Record, other: Record) -> list[str]:
    if [*one.headers] == [*other.headers]:
        parts = []
    else:
        headers, others = dict(one.headers), dict(other.headers)
        names = sorted(headers.keys() | others.keys())
        parts = [name for name in names if headers.get(name) != others.get(name)]
        parts = parts or ["order of headers"]
    if one.key != other.key:
        parts.append("key")
    if one.value != other.value:
        parts.append("value")
    return parts


def _digest(record: Record) -> int:
    parts = [record.key, record.value]
    for name, text in record.headers:
        parts += name.encode(), text
    # Prefixed with the lengths, so that the boundaries between the parts are unambiguous.
    lengths = repr([*map(len, parts)]).encode()
    digest = hashlib.blake2b(b"".join([lengths, *parts]), digest_size=16)
    return int.from_bytes(digest.digest(), "big")
