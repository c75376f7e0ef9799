"""What comes from the log: a record at its place, decoded where it can be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from parley_core.cloudevents import Record, UndecodableRecord, decode
from parley_core.events import Event


@dataclass(frozen=True, slots=True)
class Arrival:
    """`event` is None where `error` says why it cannot be applied.

    `session_id` is None when the record's key names no session.
    """

    partition: int
    offset: int
    record: Record
    session_id: UUID | None
    event: Event | None
    error: str | None = None

    def refused(self, error: str) -> Arrival:
        return replace(self, event=None, error=error)


def arrival_of(partition: int, offset: int, record: Record) -> Arrival:
    try:
        event = decode(record)
    except UndecodableRecord as undecodable:
        session_id = _session_named_by(record.key)
        return Arrival(partition, offset, record, session_id, None, str(undecodable))
    return Arrival(partition, offset, record, event.session_id, event)


def _session_named_by(key: bytes) -> UUID | None:
    try:
        session_id = UUID(key.decode())
    except ValueError:
        return None
    # Only the one form that keys have: another one lies in another partition.
    return session_id if str(session_id).encode() == key else None
