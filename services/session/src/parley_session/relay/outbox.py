"""An outbox in Postgres: a queue, read from its front by whoever leads at that moment."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import Record, record_of

Connection = asyncpg.Connection
Publish = Callable[[Sequence[Record]], Awaitable[Sequence[bool]]]
"""Hands records over in order; answers which of them the log has acknowledged."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What its events are of, its table, theirs, and the column that names an event's stream.

    All relays of one outbox take the same lock, for which any constant does.
    """

    of: str
    outbox: str
    events: str
    stream: str
    leader: int

    def sql(self, statement: str) -> str:
        """A statement that names the tables and the column in braces."""
        return statement.format(outbox=self.outbox, events=self.events, stream=self.stream)


SESSIONS = Queue("sessions", "outbox", "events", "session_id", 0x72656C6179)
ASSISTANTS = Queue("assistants", "assistant_outbox", "assistant_events", "stream_id", 0x72656C617A)

# For what a relay does beside publishing: longer, and another one takes over.
_SLACK_SECONDS = 2

# Before every place that an append can get: those begin with 1.
_FRONT = 1

_TAKE_LEAD = "SELECT pg_try_advisory_xact_lock($1)"

_OLDEST = """
SELECT position, bytes, {stream} AS stream, sequence, id, type, time, traceparent, data::text
FROM (
    SELECT *, sum(bytes) OVER (ORDER BY position) - bytes AS before
    FROM (SELECT * FROM {outbox} ORDER BY position LIMIT $1) AS oldest
) AS oldest JOIN {events} USING ({stream}, sequence)
WHERE before < $2 ORDER BY position
"""

_QUEUE_AT_THE_FRONT = """
WITH queued AS (
    INSERT INTO {outbox} (position, {stream}, sequence, bytes) OVERRIDING SYSTEM VALUE
    SELECT front.position - row_number() OVER (ORDER BY stored.id DESC),
        {stream}, sequence, octet_length(data::text)
    FROM (SELECT least(min(position), $3) AS position FROM {outbox}) AS front, {events} AS stored
        LEFT JOIN unnest($1::uuid[], $2::int[]) AS logged ({stream}, reached) USING ({stream})
        LEFT JOIN {outbox} AS waiting USING ({stream}, sequence)
    WHERE stored.sequence > coalesce(logged.reached, 0) AND waiting.position IS NULL
    RETURNING position
)
SELECT count(*) FROM queued
"""

# Bounded: an outbox of a million is no less alarming than a longer one.
_DEPTH_AND_AGE = """
SELECT (SELECT count(*) FROM (SELECT FROM {outbox} LIMIT 1000000) AS counted) AS events,
    coalesce((
        SELECT extract(epoch FROM clock_timestamp() - time)
        FROM (SELECT {stream}, sequence FROM {outbox} ORDER BY position LIMIT 1) AS oldest
            JOIN {events} USING ({stream}, sequence)
    ), 0)::float8 AS oldest_seconds
"""

_AT_THE_FRONT = "SELECT count(*) FROM {outbox} WHERE position < $1"

_DELETE = "DELETE FROM {outbox} WHERE position = ANY($1)"


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

    def __init__(
        self,
        connection: "Connection[asyncpg.Record]",
        records: int,
        size: int,
        queue: Queue = SESSIONS,
    ) -> None:
        self._connection, self._records, self._size = connection, records, size
        self._leader = queue.leader
        self._oldest, self._delete = queue.sql(_OLDEST), queue.sql(_DELETE)

    async def drain_batch(self, publish: Publish) -> Batch | None:
        """Publish the oldest events and delete those that the log has; None for who is no leader.

        In one transaction, under the leader's lock: a relay that dies here leaves the rows for the
        next one, which publishes them again.
        """
        async with self._connection.transaction():
            # A statement of its own: the rows must be read as they are once the lock is held.
            if not await self._connection.fetchval(_TAKE_LEAD, self._leader):
                return None
            rows = await self._connection.fetch(self._oldest, self._records, self._size)
            if not rows:
                return Batch(0, full=False)
            acknowledged = await publish([stored_record(row["stream"], row) for row in rows])
            done = [row["position"] for row, sure in zip(rows, acknowledged, strict=True) if sure]
            await self._connection.execute(self._delete, done)
            full = len(rows) == self._records or sum(row["bytes"] for row in rows) >= self._size
            return Batch(len(rows), full)


@asynccontextmanager
async def relays_paused(
    connection: "Connection[asyncpg.Record]", queue: Queue = SESSIONS
) -> AsyncIterator[None]:
    """Keep every relay of the outbox waiting meanwhile; what is published stays, chat goes on."""
    await connection.execute("SELECT pg_advisory_lock($1)", queue.leader)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", queue.leader)


async def requeue_first(
    connection: "Connection[asyncpg.Record]",
    logged: Iterable[tuple[UUID, int]],
    queue: Queue = SESSIONS,
) -> int:
    """Queue what the log lacks before all else, oldest first, and answer how many events.

    `logged` is how far each stream is in the log; one that it does not name is not there.
    To be called while no relay leads.
    """
    pairs = [*logged]
    reached = [stream for stream, _ in pairs], [sequence for _, sequence in pairs]
    queued: int = await connection.fetchval(queue.sql(_QUEUE_AT_THE_FRONT), *reached, _FRONT)
    return queued


async def oldest_queued(connection: "Connection[asyncpg.Record]", queue: Queue = SESSIONS) -> int:
    """How many events that were queued at the front are still there."""
    left: int = await connection.fetchval(queue.sql(_AT_THE_FRONT), _FRONT)
    return left


async def depth_and_age(pool: Pool, queue: Queue) -> tuple[int, float]:
    """How many events wait, and for how long the oldest one has; the database's clock tells."""
    [row] = await pool.fetch(queue.sql(_DEPTH_AND_AGE))
    return row["events"], max(0.0, row["oldest_seconds"])


def stored_record(stream: UUID, row: asyncpg.Record) -> Record:
    """The record of an event as it is stored, with `data` read as text."""
    return record_of(
        subject=stream,
        event_id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        time=row["time"],
        traceparent=row["traceparent"],
        value=row["data"].encode(),
    )
