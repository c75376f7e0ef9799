"""Retention queries: sessions that are due for erasure, by the database's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from parley_session.storage.database import Connection

# Arbitrary advisory-lock key, shared by the retention jobs of all replicas.
_LOCK_KEY = 0x7265746169

# One statement for the first page and one for later pages: a combined condition would not use the
# index.
_DUE = """
SELECT id, deleted, erase_at FROM sessions
WHERE erase_at <= now() AND NOT held AND wrapped_key IS NOT NULL {behind}
ORDER BY erase_at, id LIMIT $1
"""
_FIRST_DUE = _DUE.format(behind="")
_NEXT_DUE = _DUE.format(behind="AND (erase_at, id) > ($2, $3)")

_END_OF_RANGE = "SELECT id FROM sessions {behind} ORDER BY id OFFSET $1 - 1 LIMIT 1"
_FIRST_END = _END_OF_RANGE.format(behind="")
_NEXT_END = _END_OF_RANGE.format(behind="WHERE id > $2")

_IDLE = """
SELECT id, tenant, assistant_id, updated_at,
    (extract(epoch FROM now() - updated_at) / 86400)::float8 AS idle_days
FROM sessions
WHERE updated_at <= now() - $1::float8 * interval '1 day' AND NOT held
    AND wrapped_key IS NOT NULL {behind} {until}
ORDER BY id
"""

MAX_COUNTED_SESSIONS = 100_000
_COUNT_DUE = """
SELECT count(*) FROM (
    SELECT FROM sessions WHERE erase_at <= now() AND NOT held AND wrapped_key IS NOT NULL LIMIT $1
) AS due
"""


@dataclass(frozen=True, slots=True)
class DueSession:
    """A session whose undelete window (`deleted`) or temporary life has ended."""

    id: UUID
    deleted: bool
    erase_at: datetime


@dataclass(frozen=True, slots=True)
class IdleSession:
    """A session without an event for `idle_days`."""

    id: UUID
    tenant: str
    assistant_id: str
    updated_at: datetime
    idle_days: float


@dataclass(frozen=True, slots=True)
class IdRange:
    """Session ids over `after` (None: from the first) up to `end` (None: to the last)."""

    after: UUID | None = None
    end: UUID | None = None


class DueSessions:
    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        """The connection must be in a transaction."""
        self._connection = connection

    async def try_lock(self, seconds: int) -> bool:
        """Take the leader lock until the end of the transaction; False if another process has it.

        The database ends the transaction when the connection is idle for `seconds`, so that a
        vanished process does not keep the lock.
        """
        await self._connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true)", f"{seconds}s"
        )
        is_locked: bool = await self._connection.fetchval(
            "SELECT pg_try_advisory_xact_lock($1)", _LOCK_KEY
        )
        return is_locked

    async def due(self, after: DueSession | None, limit: int) -> Sequence[DueSession]:
        """Sessions past their `erase_at`, earliest first, following `after`."""
        if after is None:
            rows = await self._connection.fetch(_FIRST_DUE, limit)
        else:
            rows = await self._connection.fetch(_NEXT_DUE, limit, after.erase_at, after.id)
        return [DueSession(**row) for row in rows]

    async def next_range(self, after: UUID | None, sessions: int) -> IdRange:
        """The range of the next `sessions` ids over `after`, or of all that are left."""
        if after is None:
            return IdRange(None, await self._connection.fetchval(_FIRST_END, sessions))
        return IdRange(after, await self._connection.fetchval(_NEXT_END, sessions, after))

    async def idle(self, id_range: IdRange, days: float) -> Sequence[IdleSession]:
        """Sessions in the range without an event for `days`, and without a legal hold."""
        bounds = [bound for bound in (id_range.after, id_range.end) if bound is not None]
        statement = _IDLE.format(
            behind="" if id_range.after is None else "AND id > $2",
            until="" if id_range.end is None else f"AND id <= ${1 + len(bounds)}",
        )
        rows = await self._connection.fetch(statement, days, *bounds)
        return [IdleSession(**row) for row in rows]


async def count_due_sessions(connection: Connection) -> int:
    """How many deleted or temporary sessions are due for erasure, up to MAX_COUNTED_SESSIONS."""
    due: int = await connection.fetchval(_COUNT_DUE, MAX_COUNTED_SESSIONS)
    return due
