"""Discarded records: operators decided that these have no effect. Digest and sequence position."""

import hashlib
from typing import NamedTuple
from uuid import UUID

from parley_events.cloudevents import Record

# `sequence` is a Postgres integer.
_MAX_SEQUENCE = 2**31 - 1


class DiscardedRecord(NamedTuple):
    """The sequence position that a discarded record fills in its session, without any effect."""

    session_id: UUID
    sequence: int
    id: UUID


def record_digest(record: Record) -> bytes:
    """Return the SHA-256 of key, headers and value, independent of the record's log position.

    Each part is preceded by its length and the headers by their number, so that no two different
    records have the same encoding.
    """
    digest = hashlib.sha256()
    parts = [record.key, len(record.headers).to_bytes(4)]
    for name, value in record.headers:
        parts += [name.encode(), value]
    for part in (*parts, record.value):
        digest.update(len(part).to_bytes(4) + part)
    return digest.digest()


def discarded_record_of(record: Record, session_id: UUID) -> DiscardedRecord | None:
    """Read sequence and id from the headers, which may be valid in an undecodable record."""
    headers = dict(record.headers)
    try:
        sequence = int(headers["ce_sequence"].decode())
        event_id = UUID(headers["ce_id"].decode())
    except (KeyError, ValueError):
        return None
    if not 1 <= sequence <= _MAX_SEQUENCE:
        return None
    return DiscardedRecord(session_id, sequence, event_id)
