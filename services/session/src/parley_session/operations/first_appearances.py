"""The order in which the events of each session appear in a log."""

from collections.abc import Iterator
from enum import Enum
from uuid import UUID

from parley_events.cloudevents import Record, UndecodableRecord


class Appearance(Enum):
    FIRST = "the next of its session"
    REPEAT = "was there before"
    EARLY = "before the one that it follows"


class FirstAppearances:
    """How far each session has come without a gap; about 150 bytes a session."""

    def __init__(self) -> None:
        self._reached: dict[UUID, int] = {}

    def add(self, session_id: UUID, sequence: int) -> Appearance:
        reached = self._reached.get(session_id, 0)
        if sequence <= reached:
            return Appearance.REPEAT
        if sequence > reached + 1:
            return Appearance.EARLY
        self._reached[session_id] = sequence
        return Appearance.FIRST

    def reached(self, session_id: UUID) -> int:
        """The last sequence of the session without a gap before it; 0 for none."""
        return self._reached.get(session_id, 0)

    def __iter__(self) -> Iterator[tuple[UUID, int]]:
        return iter(self._reached.items())


def place_of(record: Record) -> tuple[UUID, int]:
    """Session and sequence of a record, without reading its value. Raises UndecodableRecord."""
    try:
        sequence = int(dict(record.headers)["ce_sequence"])
        session_id = UUID(record.key.decode())
    except (KeyError, ValueError):
        raise UndecodableRecord("it names no session and sequence") from None
    # What is beyond the range of the store's column cannot be looked for there.
    if not 1 <= sequence < 2**31:
        raise UndecodableRecord("its sequence is out of range")
    return session_id, sequence
