"""Which sessions are to be erased, as their rows tell it without a key; by the database's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# Any constant does; nobody else takes this lock.
_LEADER = 0x7265746169

# Each without and with a place to go on behind: one condition for both would not use the index.
_DUE = """
SELECT id, deleted, erase_at FROM sessions
WHERE erase_at <= now() AND NOT held AND wrapped_key IS NOT NULL {behind}
ORDER BY erase_at, id LIMIT $1
"""
_FIRST_DUE = _DUE.format(behind="")
_NEXT_DUE = _DUE.format(behind="AND (erase_at, id) > ($2, $3)")

_END_OF_STRETCH = "SELECT id FROM sessions {behind} ORDER BY id OFFSET $1 - 1 LIMIT 1"
_FIRST_END = _END_OF_STRETCH.format(behind="")
_NEXT_END = _END_OF_STRETCH.format(behind="WHERE id > $2")

_IDLE = """
SELECT id, tenant, assistant_id, updated_at,
    (extract(epoch FROM now() - updated_at) / 86400)::float8 AS idle_days
FROM sessions
WHERE updated_at <= now() - $1::float8 * interval '1 day' AND NOT held
    AND wrapped_key IS NOT NULL {behind} {until}
ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class DueSession:
    """`deleted`: the end of its undelete window has come; else that of a temporary one."""

    id: UUID
    deleted: bool
    erase_at: datetime


@dataclass(frozen=True, slots=True)
class IdleSession:
    """`idle_days` after its last event."""

    id: UUID
    tenant: str
    assistant_id: str
    updated_at: datetime
    idle_days: float


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The sessions with ids behind `after`, from the first without, up to `end`, if it has one."""

    after: UUID | None = None
    end: UUID | None = None


class DueSessions:
    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        """In a transaction of this connection."""
        self._connection = connection

    async def lead(self, seconds: int) -> bool:
        """Whether nobody else does this work, until the end of the transaction.

        The database ends it too, when this side is silent for so many seconds.
        """
        await self._connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true)", f"{seconds}s"
        )
        is_leader: bool = await self._connection.fetchval(
            "SELECT pg_try_advisory_xact_lock($1)", _LEADER
        )
        return is_leader

    async def due(self, after: DueSession | None, limit: int) -> Sequence[DueSession]:
        """Those whose time has come, the longest due first, behind `after`."""
        if after is None:
            rows = await self._connection.fetch(_FIRST_DUE, limit)
        else:
            rows = await self._connection.fetch(_NEXT_DUE, limit, after.erase_at, after.id)
        return [DueSession(**row) for row in rows]

    async def stretch(self, after: UUID | None, sessions: int) -> TimeRange:
        """So many sessions behind `after`; those that are left where there are no more."""
        if after is None:
            return TimeRange(None, await self._connection.fetchval(_FIRST_END, sessions))
        return TimeRange(after, await self._connection.fetchval(_NEXT_END, sessions, after))

    async def idle(self, stretch: TimeRange, days: float) -> Sequence[IdleSession]:
        """Those of the stretch that nothing happened in for so many days, and that may go."""
        bounds = [bound for bound in (stretch.after, stretch.end) if bound is not None]
        statement = _IDLE.format(
            behind="" if stretch.after is None else "AND id > $2",
            until="" if stretch.end is None else f"AND id <= ${1 + len(bounds)}",
        )
        rows = await self._connection.fetch(statement, days, *bounds)
        return [IdleSession(**row) for row in rows]
