"""`verify-log`: the event store against the log, also while chat goes on."""

import asyncpg

from parley_core.log import LogEntry
from parley_events.cloudevents import Record, UndecodableRecord
from parley_session.operations.first_appearances import place_of
from parley_session.operations.log.log_comparison import Comparison, StoredStream
from parley_session.operations.log_scan import opened_log, whole_log
from parley_session.relay.outbox import stored_record
from parley_session.settings import LogCommandSettings

Connection = asyncpg.Connection

_STREAMS_AT_ONCE = 5_000

_STREAMS = """
WITH placed AS (
    SELECT session_id, sequence,
        id > lag(id) OVER stream AND time >= lag(time) OVER stream AS later
    FROM events WINDOW stream AS (PARTITION BY session_id ORDER BY sequence)
), streams AS (
    SELECT session_id, count(*) AS events, max(sequence) AS last,
        min(sequence) FILTER (WHERE NOT later) AS not_later
    FROM placed GROUP BY session_id
), queued AS (
    SELECT session_id, min(sequence) AS first FROM outbox GROUP BY session_id
)
SELECT coalesce(sessions.id, streams.session_id) AS session_id, sessions.version,
    coalesce(streams.events, 0) AS events, coalesce(streams.last, 0) AS last,
    streams.not_later, queued.first AS first_queued
FROM sessions FULL JOIN streams ON streams.session_id = sessions.id
    LEFT JOIN queued ON queued.session_id = streams.session_id
"""

_STORED = """
SELECT session_id, sequence, id, type, time, traceparent, data::text
FROM unnest($1::uuid[], $2::int[]) AS logged (session_id, sequence)
    JOIN events USING (session_id, sequence)
"""


async def verify_log(settings: LogCommandSettings) -> int:
    """Print counts, a checksum and the first differences; the exit code, 1 where any are.

    Memory: what `Comparison` holds of each session, and one batch of records.
    """
    comparison = Comparison()
    connection = await asyncpg.connect(
        settings.session_database,
        timeout=settings.session_store_seconds,
        command_timeout=settings.session_command_seconds,
    )
    try:
        # Before the log's ends are asked for: what has left the outbox by now stands before them.
        await _expect_all(connection, comparison)
        async with opened_log(settings.brokers, settings.relay_topic) as reader:
            stalled = settings.session_log_stalled_seconds
            async for entries in whole_log(reader, stalled_seconds=stalled):
                await _compare(connection, entries, comparison)
    finally:
        connection.terminate()
    comparison.finish()
    return _report(comparison)


async def _expect_all(connection: "Connection[asyncpg.Record]", comparison: Comparison) -> None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(_STREAMS, prefetch=_STREAMS_AT_ONCE):
            comparison.expect(StoredStream(**row))


async def _compare(
    connection: "Connection[asyncpg.Record]", entries: list[LogEntry], comparison: Comparison
) -> None:
    placed = []
    for entry in entries:
        try:
            placed.append((*place_of(entry.record), entry.record))
        except UndecodableRecord as undecodable:
            comparison.differences.add(
                f"The record at offset {entry.offset} of partition {entry.partition} is no event "
                f"of a session: {undecodable}."
            )
    if not placed:
        return
    session_ids, sequences, records = zip(*placed, strict=True)
    # Read after the log: what is in the log was committed before.
    rows = await connection.fetch(_STORED, session_ids, sequences)
    stored: dict[object, Record] = {
        (row["session_id"], row["sequence"]): stored_record(row["session_id"], row) for row in rows
    }
    for session_id, sequence, record in zip(session_ids, sequences, records, strict=True):
        comparison.compare(session_id, sequence, record, stored.get((session_id, sequence)))


def _report(comparison: Comparison) -> int:
    differences = comparison.differences
    print(
        f"The store has {comparison.sessions:,} sessions, and {comparison.due:,} events that had "
        "left its outbox when this began."
    )
    print(
        f"The log has {comparison.events:,} events and {comparison.repeats:,} repeats of them; "
        f"checksum {comparison.checksum:032x}."
    )
    if not differences.count:
        print("The event store and the log agree.")
        return 0
    print(f"They differ in {differences.count:,} places; the first are:")
    for sentence in differences.shown:
        print(f"  {sentence}")
    return 1
