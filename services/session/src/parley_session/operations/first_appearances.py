"""Tracks the order in which the events of each stream first appear in a log."""

from collections.abc import Iterator
from enum import Enum
from uuid import UUID

from parley_events.cloudevents import Record, UndecodableRecord


class Appearance(Enum):
    FIRST = "next in sequence"
    REPEAT = "already seen"
    EARLY = "out of order"


class FirstAppearances:
    """The last contiguous sequence of each stream; about 150 bytes per stream."""

    def __init__(self) -> None:
        self._last_contiguous: dict[UUID, int] = {}

    def add(self, stream_id: UUID, sequence: int) -> Appearance:
        last = self._last_contiguous.get(stream_id, 0)
        if sequence <= last:
            return Appearance.REPEAT
        if sequence > last + 1:
            return Appearance.EARLY
        self._last_contiguous[stream_id] = sequence
        return Appearance.FIRST

    def last_contiguous(self, stream_id: UUID) -> int:
        """The last sequence without a gap before it; 0 if there is none."""
        return self._last_contiguous.get(stream_id, 0)

    def __iter__(self) -> Iterator[tuple[UUID, int]]:
        return iter(self._last_contiguous.items())


def stream_position(record: Record) -> tuple[UUID, int]:
    """Stream id and sequence of a record, without decoding its value. Raises UndecodableRecord."""
    try:
        sequence = int(dict(record.headers)["ce_sequence"])
        stream_id = UUID(record.key.decode())
    except (KeyError, ValueError):
        raise UndecodableRecord("its key or ce_sequence header is invalid") from None
    # A larger value does not fit the store's column.
    if not 1 <= sequence < 2**31:
        raise UndecodableRecord("its sequence is out of range")
    return stream_id, sequence
