"""Maps rows of the event tables to events, and to records as the relay publishes them."""

from uuid import UUID

import asyncpg

from parley_events.cloudevents import Record, decode_data, record_of
from parley_events.session import Event


def event_from_row(row: asyncpg.Record) -> Event:
    return Event(
        id=row["id"],
        session_id=row["session_id"],
        sequence=row["sequence"],
        time=row["time"],
        data=decode_data(row["type"], row["data"].encode()),
        traceparent=row["traceparent"],
    )


def record_from_row(stream_id: UUID, row: asyncpg.Record) -> Record:
    """The record published for a stored event; `data` was selected as text."""
    return record_of(
        subject=stream_id,
        event_id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        time=row["time"],
        traceparent=row["traceparent"],
        value=row["data"].encode(),
    )
