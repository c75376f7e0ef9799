"""What comes from the log: a record at its place, decoded where it can be."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from parley_events.cloudevents import Record, UndecodableRecord, decode
from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord, place_of


class IncomingRecord(Struct, frozen=True, gc=False):
    """`event` is None where `error` says why it cannot be applied.

    `session_id` is None when the record's key names no session. A record that was discarded has
    at most its place as `event`.
    """

    partition: int
    offset: int
    record: Record
    session_id: UUID | None
    event: Event | DiscardedRecord | None
    error: str | None = None
    discarded: bool = False

    def refused(self, error: str) -> IncomingRecord:
        return replace(self, event=None, error=error)

    def as_discarded(self) -> IncomingRecord:
        place = None if self.session_id is None else place_of(self.record, self.session_id)
        return replace(self, event=place, discarded=True)


def arrival_of(partition: int, offset: int, record: Record) -> IncomingRecord:
    try:
        event = decode(record)
    except MemoryError:
        raise
    except Exception as error:
        # Decoding is pure: what fails now always does, also in a way that nobody foresaw.
        expected = isinstance(error, UndecodableRecord)
        why = str(error) if expected else f"it cannot be decoded: {type(error).__name__}"
        return IncomingRecord(partition, offset, record, _session_named_by(record.key), None, why)
    return IncomingRecord(partition, offset, record, event.session_id, event)


def _session_named_by(key: bytes) -> UUID | None:
    try:
        session_id = UUID(key.decode())
    except ValueError:
        return None
    # Only the one form that keys have: another one lies in another partition.
    return session_id if str(session_id).encode() == key else None
