"""`verify-log`: compares the event store with the log, also while sessions are written to."""

from parley_core.log import LogEntry
from parley_events.cloudevents import Record, UndecodableRecord
from parley_session.operations.first_appearances import stream_position
from parley_session.operations.log.log_comparison import LogComparison, StoredStream
from parley_session.operations.log_scan import open_log, scan_log
from parley_session.settings import LogCommandSettings
from parley_session.storage.database import Connection, connect_for_maintenance
from parley_session.storage.event_rows import record_from_row

_STREAMS_PER_FETCH = 5_000

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
    """Print counts, a checksum and the first differences; return the exit code, 1 if any differ.

    Memory: 300 bytes per session, and one batch of records.
    """
    comparison = LogComparison()
    connection = await connect_for_maintenance(settings.database)
    try:
        # Before the end of the log is read: events that have left the outbox precede that end.
        await _expect_all(connection, comparison)
        async with open_log(settings.kafka.brokers, settings.topic.sessions) as reader:
            async for entries in scan_log(reader):
                await _compare(connection, entries, comparison)
    finally:
        connection.terminate()
    comparison.finish()
    return _report(comparison)


async def _expect_all(connection: Connection, comparison: LogComparison) -> None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(_STREAMS, prefetch=_STREAMS_PER_FETCH):
            comparison.expect(StoredStream(**row))


async def _compare(
    connection: Connection, entries: list[LogEntry], comparison: LogComparison
) -> None:
    logged = []
    for entry in entries:
        try:
            logged.append((*stream_position(entry.record), entry.record))
        except UndecodableRecord as error:
            comparison.differences.add(
                f"The record at offset {entry.offset} of partition {entry.partition} is not an "
                f"event of a session: {error}."
            )
    if not logged:
        return
    session_ids, sequences, records = zip(*logged, strict=True)
    # Read after the log: an event in the log was committed before it was published.
    rows = await connection.fetch(_STORED, session_ids, sequences)
    stored: dict[object, Record] = {
        (row["session_id"], row["sequence"]): record_from_row(row["session_id"], row)
        for row in rows
    }
    for session_id, sequence, record in zip(session_ids, sequences, records, strict=True):
        comparison.compare(session_id, sequence, record, stored.get((session_id, sequence)))


def _report(comparison: LogComparison) -> int:
    differences = comparison.differences
    print(
        f"Event store: {comparison.sessions:,} sessions, {comparison.published:,} published "
        "events at the start of this check."
    )
    print(
        f"Log: {comparison.events:,} events, {comparison.repeats:,} repeats, "
        f"checksum {comparison.checksum:032x}."
    )
    if not differences.count:
        print("The event store and the log agree.")
        return 0
    differences.print_under(f"Found {differences.count:,} differences")
    return 1
