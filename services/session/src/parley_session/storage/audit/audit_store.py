"""Store of the audit trail: appends records that belong to no other change, and reads them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from parley_core.http.pagination import PageParameters
from parley_core.storage.postgres_pool import Pool
from parley_core.tracing.spans import current_traceparent
from parley_events.audit import AuditData, AuditRecorded
from parley_events.cloudevents import encode_data
from parley_session.storage.database import Connection

_APPEND = "SELECT append_audit_record(new.data, $2) FROM unnest($1::text[]) AS new (data)"

MAX_CONCURRENT_APPENDS = 2
"""Appends are serial in the database: more of them would only keep connections from turns."""
_MAX_WAIT_SECONDS = 5.0
"""As long as for a connection; the gateway waits for 10 s."""

NO_LIMITS = "none"
"""Stands for the digest of a file of limits where there is none."""

_LOCK = "SELECT FROM audit_chain FOR UPDATE"
_LATEST_LIMITS = """
SELECT data -> 'objects' -> 0 ->> 'id' FROM audit_records
WHERE action = 'limits.changed' ORDER BY sequence DESC LIMIT 1
"""
# Without a filter its condition is left out, so that each combination has an index.
_PAGE = """
SELECT id, sequence, time, data, hash FROM audit_records
WHERE tenant = $2 AND id > $3 AND id < $4{} ORDER BY id {} LIMIT $1
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


AnyConnection: TypeAlias = "Pool | Connection | PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class AuditFilter(PageParameters[UUID]):
    """Records of a tenant, by person, action and time, `since` included and `until` not."""

    user: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredAuditRecord:
    id: UUID
    sequence: int
    time: datetime
    data: AuditRecorded
    hash: str


async def append_records(connection: AnyConnection, records: Sequence[AuditData]) -> None:
    """Append them, for the last statement of a transaction."""
    encoded = [encode_data(record).decode() for record in records]
    await connection.execute(_APPEND, encoded, current_traceparent())


class AuditStore:
    def __init__(self, pool: Pool, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called after each commit of records."""
        self._pool, self._on_appended = pool, on_appended
        self._appends = asyncio.Semaphore(MAX_CONCURRENT_APPENDS)

    async def append(self, records: Sequence[AuditData]) -> None:
        """Raises TimeoutError if too many others wait, and what the database raises."""
        async with asyncio.timeout(_MAX_WAIT_SECONDS):
            await self._appends.acquire()
        try:
            await append_records(self._pool, records)
        finally:
            self._appends.release()
        self._on_appended()

    async def append_limits(self, digest: str, record: AuditData) -> None:
        """Append it unless the latest record of limits has this digest, its first object."""
        async with self._pool.acquire() as connection, connection.transaction():
            # Of several processes that load the same file, the others see the record of the first.
            await connection.execute(_LOCK)
            if (await connection.fetchval(_LATEST_LIMITS) or NO_LIMITS) == digest:
                return
            await append_records(connection, [record])
        self._on_appended()

    async def page(
        self, tenant: str, wanted: AuditFilter
    ) -> tuple[Sequence[StoredAuditRecord], bool]:
        """The records of a page in its order, and whether more follow."""
        filters = {"person": wanted.user, "action": wanted.action}
        given = {name: value for name, value in filters.items() if value is not None}
        conditions = (f" AND {name} = ${number}" for number, name in enumerate(given, start=5))
        statement = _PAGE.format("".join(conditions), "DESC" if wanted.older else "ASC")
        bounds = _bounds(wanted)
        rows = await self._pool.fetch(statement, wanted.limit + 1, tenant, *bounds, *given.values())
        found = [
            StoredAuditRecord(
                row["id"],
                row["sequence"],
                row["time"],
                AuditRecorded.model_validate_json(row["data"]),
                row["hash"],
            )
            for row in rows[: wanted.limit]
        ]
        in_order = found if wanted.older == wanted.newest_first else found[::-1]
        return in_order, len(rows) > wanted.limit


def _bounds(wanted: AuditFilter) -> tuple[UUID, UUID]:
    """The ids between which the records are: those of its times, and its cursor."""
    lower = _LOWEST if wanted.since is None else UUID(int=_first_id_at(wanted.since).int - 1)
    upper = _HIGHEST if wanted.until is None else _first_id_at(wanted.until)
    if wanted.cursor is None:
        return lower, upper
    if wanted.older:
        return lower, min(upper, wanted.cursor)
    return max(lower, wanted.cursor), upper


def _first_id_at(time: datetime) -> UUID:
    """The lowest id that append_audit_record gives to a record of this time, or of a later one."""
    microseconds = max(0, (time - _EPOCH) // timedelta(microseconds=1))
    return UUID(f"{microseconds // 1000:012x}7{microseconds % 1000:03x}8{0:015x}")
