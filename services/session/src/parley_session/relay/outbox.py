"""Transactional outbox in Postgres: a queue of events, drained by one leader at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_events.cloudevents import Record
from parley_session.relay.outbox_sql import (
    COUNT_REQUEUED,
    DELETE,
    FRONT_POSITION,
    LOCK,
    OLDEST,
    REQUEUE_FIRST,
    SESSIONS_OUTBOX,
    TRY_LOCK,
    UNLOCK,
    OutboxTable,
)
from parley_session.storage.database import Connection
from parley_session.storage.event_rows import record_from_row

Publish = Callable[[Sequence[Record]], Awaitable[Sequence[bool]]]
"""Publishes records in order; returns which of them the log acknowledged."""

# What a relay may spend besides publishing before another one takes over.
_SLACK_SECONDS = 2


def connection_settings(publish_timeout_seconds: float) -> dict[str, str]:
    """Server settings of a relay's connection, which is idle in transaction while it publishes."""
    idle_milliseconds = int((publish_timeout_seconds + _SLACK_SECONDS) * 1000)
    return {
        "application_name": "parley-relay",
        **FAST_KEEPALIVES,
        "idle_in_transaction_session_timeout": str(idle_milliseconds),
    }


@dataclass(frozen=True, slots=True)
class Batch:
    """The number of events read; if `full`, more may be queued behind them."""

    events: int
    full: bool


class Outbox:
    """Reads batches of at most `max_records` and `max_bytes`, but of one record at least."""

    def __init__(
        self,
        connection: Connection,
        max_records: int,
        max_bytes: int,
        table: OutboxTable = SESSIONS_OUTBOX,
    ) -> None:
        self._connection, self._max_records, self._max_bytes = connection, max_records, max_bytes
        self._lock_key = table.lock_key
        self._oldest, self._delete = table.sql(OLDEST), table.sql(DELETE)

    async def drain_batch(self, publish: Publish) -> Batch | None:
        """Publish the oldest events and delete the acknowledged ones; None if not the leader.

        Runs in one transaction that holds the leader lock: a relay that dies here leaves the rows
        to the next one, which publishes them again.
        """
        async with self._connection.transaction():
            # Its own statement: the rows must be read after the lock was taken.
            if not await self._connection.fetchval(TRY_LOCK, self._lock_key):
                return None
            rows = await self._connection.fetch(self._oldest, self._max_records, self._max_bytes)
            if not rows:
                return Batch(0, full=False)
            acknowledged = await publish([record_from_row(row["stream"], row) for row in rows])
            done = [row["position"] for row, sure in zip(rows, acknowledged, strict=True) if sure]
            await self._connection.execute(self._delete, done)
            full = (
                len(rows) == self._max_records
                or sum(row["bytes"] for row in rows) >= self._max_bytes
            )
            return Batch(len(rows), full)


@asynccontextmanager
async def relays_paused(
    connection: Connection, table: OutboxTable = SESSIONS_OUTBOX
) -> AsyncIterator[None]:
    """Hold the leader lock, so that no relay publishes; appends continue."""
    await connection.execute(LOCK, table.lock_key)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(UNLOCK, table.lock_key)


async def requeue_first(
    connection: Connection,
    logged: Iterable[tuple[UUID, int]],
    table: OutboxTable = SESSIONS_OUTBOX,
) -> int:
    """Queue events missing from the log ahead of all others, oldest first; return their number.

    `logged` holds the last sequence in the log per stream; other streams are missing entirely.
    Call it while relays are paused.
    """
    pairs = [*logged]
    streams, sequences = [stream for stream, _ in pairs], [sequence for _, sequence in pairs]
    queued: int = await connection.fetchval(
        table.sql(REQUEUE_FIRST), streams, sequences, FRONT_POSITION
    )
    return queued


async def count_requeued(connection: Connection, table: OutboxTable = SESSIONS_OUTBOX) -> int:
    """How many events queued by `requeue_first` are not yet published."""
    left: int = await connection.fetchval(table.sql(COUNT_REQUEUED), FRONT_POSITION)
    return left
