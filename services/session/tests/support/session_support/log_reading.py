"""Reads the log as a consumer, and checks completeness and order."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from parley_core.log import Brokers, LogReader
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import Record, decode
from parley_events.session import Event


async def records_in(bootstrap: str, topic: str) -> list[Record]:
    """All records of the topic, in order per session."""
    reader = LogReader(Brokers(bootstrap), topic)
    await reader.start()
    try:
        position, end = await reader.beginning_positions(), await reader.end_positions()
        reader.seek(position)
        records = []
        while any(position[partition] < end[partition] for partition in end):
            for entry in await reader.read():
                position[entry.partition] = entry.offset + 1
                records.append(entry.record)
    finally:
        await reader.close()
    return records


def first_appearances(records: Iterable[Record]) -> Mapping[UUID, Sequence[Event]]:
    """The events of each session as a consumer applies them: a repeat is dropped.

    Fails where one appears before the one that it follows.
    """
    streams: dict[UUID, list[Event]] = {}
    for event in map(decode, records):
        stream = streams.setdefault(event.session_id, [])
        if event.sequence <= len(stream):
            assert event == stream[event.sequence - 1], "a repeat differs"
            continue
        assert event.sequence == len(stream) + 1, "an event appears too early"
        assert not stream or event.id > stream[-1].id
        stream.append(event)
    return streams


async def assert_all_in_log(pool: Pool, bootstrap: str, topic: str) -> int:
    """Checks that the log holds exactly the stored events; returns the number of repeats."""
    records = await records_in(bootstrap, topic)
    values: dict[str, bytes] = {}
    for record in records:
        values[dict(record.headers)["ce_id"].decode()] = record.value
    rows = await pool.fetch("SELECT id::text, data::text FROM events")
    assert values == {row["id"]: row["data"].encode() for row in rows}
    assert sum(map(len, first_appearances(records).values())) == len(rows)
    return len(records) - len(rows)


async def outbox_is_empty(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT EXISTS (SELECT FROM outbox)")
