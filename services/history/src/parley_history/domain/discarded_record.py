"""Records that change nothing, by decision: how one is recognised, and what of it still counts."""

import hashlib
from typing import NamedTuple
from uuid import UUID

from parley_events.cloudevents import Record

_MOST_SEQUENCE = 2**31 - 1


class DiscardedRecord(NamedTuple):
    """The place in its session that a discarded record fills, without any effect."""

    session_id: UUID
    sequence: int
    id: UUID


def record_digest(record: Record) -> bytes:
    """SHA-256 over key, headers and value: the same wherever in a topic the record lies.

    Each part is preceded by its length and the headers by their number, so that no two records
    are written alike.
    """
    digest = hashlib.sha256()
    parts = [record.key, len(record.headers).to_bytes(4)]
    for name, value in record.headers:
        parts += [name.encode(), value]
    for part in (*parts, record.value):
        digest.update(len(part).to_bytes(4) + part)
    return digest.digest()


def place_of(record: Record, session_id: UUID) -> DiscardedRecord | None:
    """What the headers tell of the place, whatever else is wrong with the record."""
    headers = dict(record.headers)
    try:
        sequence = int(headers["ce_sequence"].decode())
        event_id = UUID(headers["ce_id"].decode())
    except (KeyError, ValueError):
        return None
    if not 1 <= sequence <= _MOST_SEQUENCE:
        return None
    return DiscardedRecord(session_id, sequence, event_id)
