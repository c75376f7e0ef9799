"""SQL of the outbox tables, of which each event stream type has one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutboxTable:
    """An outbox table, its events table, and their stream id column.

    `stream` names the stream type in metrics and output. All relays of one outbox compete for the
    advisory lock `lock_key`, an arbitrary constant.
    """

    stream: str
    outbox: str
    events: str
    stream_column: str
    lock_key: int

    def sql(self, statement: str) -> str:
        """Fill the names of tables and column into a statement."""
        return statement.format(outbox=self.outbox, events=self.events, stream=self.stream_column)


SESSIONS_OUTBOX = OutboxTable("sessions", "outbox", "events", "session_id", 0x72656C6179)
ASSISTANTS_OUTBOX = OutboxTable(
    "assistants", "assistant_outbox", "assistant_events", "stream_id", 0x72656C617A
)
API_KEYS_OUTBOX = OutboxTable(
    "api_keys", "api_key_outbox", "api_key_events", "stream_id", 0x72656C617B
)
AUDIT_OUTBOX = OutboxTable("audit", "audit_outbox", "audit_records", "stream_id", 0x72656C617C)

# Below every position that an append gets: those start at 1.
FRONT_POSITION = 1

MAX_COUNTED_EVENTS = 1_000_000
"""The depth query stops counting here: a longer outbox is no more alarming."""

TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"
TRY_SESSION_LOCK = "SELECT pg_try_advisory_lock($1)"
LOCK = "SELECT pg_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"

OLDEST = """
SELECT position, bytes, {stream} AS stream, sequence, id, type, time, traceparent, data::text
FROM (
    SELECT *, sum(bytes) OVER (ORDER BY position) - bytes AS before
    FROM (SELECT * FROM {outbox} ORDER BY position LIMIT $1) AS oldest
) AS oldest JOIN {events} USING ({stream}, sequence)
WHERE before < $2 ORDER BY position
"""

DELETE = "DELETE FROM {outbox} WHERE position = ANY($1)"

REQUEUE_FIRST = """
WITH queued AS (
    INSERT INTO {outbox} (position, {stream}, sequence, bytes) OVERRIDING SYSTEM VALUE
    SELECT front.position - row_number() OVER (ORDER BY stored.id DESC),
        {stream}, sequence, octet_length(data::text)
    FROM (SELECT least(min(position), $3) AS position FROM {outbox}) AS front, {events} AS stored
        LEFT JOIN unnest($1::uuid[], $2::int[]) AS logged ({stream}, last_sequence) USING ({stream})
        LEFT JOIN {outbox} AS waiting USING ({stream}, sequence)
    WHERE stored.sequence > coalesce(logged.last_sequence, 0) AND waiting.position IS NULL
    RETURNING position
)
SELECT count(*) FROM queued
"""

COUNT_REQUEUED = "SELECT count(*) FROM {outbox} WHERE position < $1"

DEPTH_AND_AGE = """
SELECT (SELECT count(*) FROM (SELECT FROM {outbox} LIMIT $1) AS counted) AS events,
    coalesce((
        SELECT extract(epoch FROM clock_timestamp() - time)
        FROM (SELECT {stream}, sequence FROM {outbox} ORDER BY position LIMIT 1) AS oldest
            JOIN {events} USING ({stream}, sequence)
    ), 0)::float8 AS oldest_seconds
"""
