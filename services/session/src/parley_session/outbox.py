"""The outbox in Postgres: a queue, read from its front by whoever leads at that moment."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg

from parley_core.cloudevents import Record, record_of

Connection = asyncpg.Connection
Publish = Callable[[Sequence[Record]], Awaitable[Sequence[bool]]]
"""Hands records over in order; answers which of them the log has acknowledged."""

# Any constant does; all relays of one database take the same lock.
_LEADER = 0x72656C6179

_SLACK_SECONDS = 5


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
            rows = await self._connection.fetch(
                """
                SELECT position, bytes, session_id, sequence,
                    id, type, time, traceparent, data::text
                FROM (
                    SELECT *, sum(bytes) OVER (ORDER BY position) - bytes AS before
                    FROM (SELECT * FROM outbox ORDER BY position LIMIT $1) AS oldest
                ) AS oldest JOIN events USING (session_id, sequence)
                WHERE before < $2 ORDER BY position
                """,
                self._records,
                self._size,
            )
            if not rows:
                return Batch(0, full=False)
            acknowledged = await publish([_record(row) for row in rows])
            done = [row["position"] for row, sure in zip(rows, acknowledged, strict=True) if sure]
            await self._connection.execute("DELETE FROM outbox WHERE position = ANY($1)", done)
            full = len(rows) == self._records or sum(row["bytes"] for row in rows) >= self._size
            return Batch(len(rows), full)


def _record(row: asyncpg.Record) -> Record:
    return record_of(
        session_id=row["session_id"],
        event_id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        time=row["time"],
        traceparent=row["traceparent"],
        value=row["data"].encode(),
    )
