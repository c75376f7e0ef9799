"""The outbox in Postgres: a queue, read from its front by whoever leads at that moment."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from parley_core.cloudevents import Record, record_of
from parley_core.pool import Pool

Connection = asyncpg.Connection
Publish = Callable[[Sequence[Record]], Awaitable[Sequence[bool]]]
"""Hands records over in order; answers which of them the log has acknowledged."""

# Any constant does; all relays of one database take the same lock.
_LEADER = 0x72656C6179

# For what a relay does beside publishing: longer, and another one takes over.
_SLACK_SECONDS = 2

# Before every place that an append can get: those begin with 1.
_FRONT = 1

_OLDEST = """
SELECT position, bytes, session_id, sequence, id, type, time, traceparent, data::text
FROM (
    SELECT *, sum(bytes) OVER (ORDER BY position) - bytes AS before
    FROM (SELECT * FROM outbox ORDER BY position LIMIT $1) AS oldest
) AS oldest JOIN events USING (session_id, sequence)
WHERE before < $2 ORDER BY position
"""

_QUEUE_AT_THE_FRONT = """
WITH queued AS (
    INSERT INTO outbox (position, session_id, sequence, bytes) OVERRIDING SYSTEM VALUE
    SELECT front.position - row_number() OVER (ORDER BY events.id DESC),
        session_id, sequence, octet_length(data::text)
    FROM (SELECT least(min(position), $3) AS position FROM outbox) AS front, events
        LEFT JOIN unnest($1::uuid[], $2::int[]) AS logged (session_id, reached) USING (session_id)
        LEFT JOIN outbox USING (session_id, sequence)
    WHERE events.sequence > coalesce(logged.reached, 0) AND outbox.position IS NULL
    RETURNING position
)
SELECT count(*) FROM queued
"""

# Bounded: an outbox of a million is no less alarming than a longer one.
_DEPTH_AND_AGE = """
SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 1000000) AS counted) AS events,
    coalesce((
        SELECT extract(epoch FROM clock_timestamp() - time)
        FROM (SELECT session_id, sequence FROM outbox ORDER BY position LIMIT 1) AS oldest
            JOIN events USING (session_id, sequence)
    ), 0)::float8 AS oldest_seconds
"""


def connection_settings(publish_seconds: float) -> dict[str, str]:
    """Those of a relay's connection, which is idle while it publishes, under the leader's lock."""
    # A relay whose machine vanished must not hold the lock for Linux's two hours.
    idle_milliseconds = int((publish_seconds + _SLACK_SECONDS) * 1000)
    return {
        "application_name": "parley-relay",
        "tcp_keepalives_idle": "2",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        "idle_in_transaction_session_timeout": str(idle_milliseconds),
    }


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look at the outbox found; more may be there behind it when it is `full`."""

    found: int
    full: bool


class Outbox:
    """Reads at most `records` of `size` bytes in all, but one record at least."""

    def __init__(self, connection: "Connection[asyncpg.Record]", records: int, size: int) -> None:
        self._connection, self._records, self._size = connection, records, size

    async def drain_some(self, publish: Publish) -> Batch | None:
        """Publish the oldest events and delete those that the log has; None for who is no leader.

        In one transaction, under the leader's lock: a relay that dies here leaves the rows for the
        next one, which publishes them again.
        """
        async with self._connection.transaction():
            # A statement of its own: the rows must be read as they are once the lock is held.
            if not await self._connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LEADER):
                return None
            rows = await self._connection.fetch(_OLDEST, self._records, self._size)
            if not rows:
                return Batch(0, full=False)
            acknowledged = await publish([stored_record(row) for row in rows])
            done = [row["position"] for row, sure in zip(rows, acknowledged, strict=True) if sure]
            await self._connection.execute("DELETE FROM outbox WHERE position = ANY($1)", done)
            full = len(rows) == self._records or sum(row["bytes"] for row in rows) >= self._size
            return Batch(len(rows), full)


@asynccontextmanager
async def no_relay_leads(connection: "Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Keep every relay waiting meanwhile; what is published stays as it is, chat goes on."""
    await connection.execute("SELECT pg_advisory_lock($1)", _LEADER)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LEADER)


async def queue_at_the_front(
    connection: "Connection[asyncpg.Record]", logged: Iterable[tuple[UUID, int]]
) -> int:
    """Queue what the log lacks before all else, oldest first, and answer how many events.

    `logged` is how far each session is in the log; a session that it does not name is not there.
    To be called while no relay leads.
    """
    pairs = [*logged]
    reached = [session_id for session_id, _ in pairs], [sequence for _, sequence in pairs]
    queued: int = await connection.fetchval(_QUEUE_AT_THE_FRONT, *reached, _FRONT)
    return queued


async def at_the_front(connection: "Connection[asyncpg.Record]") -> int:
    """How many events that were queued at the front are still there."""
    statement = "SELECT count(*) FROM outbox WHERE position < $1"
    left: int = await connection.fetchval(statement, _FRONT)
    return left


async def depth_and_age(pool: Pool) -> tuple[int, float]:
    """How many events wait, and for how long the oldest one has; the database's clock tells."""
    [row] = await pool.fetch(_DEPTH_AND_AGE)
    return row["events"], max(0.0, row["oldest_seconds"])


def stored_record(row: asyncpg.Record) -> Record:
    """The record of an event as it is stored, with `data` read as text."""
    return record_of(
        session_id=row["session_id"],
        event_id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        time=row["time"],
        traceparent=row["traceparent"],
        value=row["data"].encode(),
    )
