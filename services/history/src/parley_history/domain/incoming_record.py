"""Records read from the log at a partition and offset, decoded where possible."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from parley_events.cloudevents import Record, UndecodableRecord, decode
from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord, discarded_record_of


class IncomingRecord(Struct, frozen=True, gc=False):
    """`event` is None when `error` says why the record cannot be applied.

    `session_id` is None when the record's key is not a session id. The `event` of a discarded
    record is at most its sequence position.
    """

    partition: int
    offset: int
    record: Record
    session_id: UUID | None
    event: Event | DiscardedRecord | None
    error: str | None = None
    discarded: bool = False

    def rejected(self, error: str) -> IncomingRecord:
        return replace(self, event=None, error=error)

    def as_discarded(self) -> IncomingRecord:
        session_id = self.session_id
        event = None if session_id is None else discarded_record_of(self.record, session_id)
        return replace(self, event=event, discarded=True)


def decode_incoming(partition: int, offset: int, record: Record) -> IncomingRecord:
    try:
        event = decode(record)
    except MemoryError:
        raise
    except Exception as error:
        # Decoding is pure: an error is permanent, even one of an unexpected type.
        expected = isinstance(error, UndecodableRecord)
        reason = str(error) if expected else f"it cannot be decoded: {type(error).__name__}"
        session_id = _session_id_in(record.key)
        return IncomingRecord(partition, offset, record, session_id, None, reason)
    return IncomingRecord(partition, offset, record, event.session_id, event)


def _session_id_in(key: bytes) -> UUID | None:
    try:
        session_id = UUID(key.decode())
    except ValueError:
        return None
    # Only the canonical form: any other spelling hashes to another partition.
    return session_id if str(session_id).encode() == key else None
