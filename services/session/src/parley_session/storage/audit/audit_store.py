"""Store of the audit trail: appends records that belong to no other change, and reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.http.pagination import PageParameters
from parley_core.storage.postgres_pool import Pool
from parley_core.tracing.spans import current_traceparent
from parley_events.audit import AuditData, AuditRecorded
from parley_events.cloudevents import encode_data

_APPEND = "SELECT append_audit_record(new.data, $2) FROM unnest($1::text[]) AS new (data)"

NO_LIMITS = "none"
"""Stands for the digest of a file of limits where there is none."""

_LOCK = "SELECT FROM audit_chain FOR UPDATE"
_LATEST_LIMITS = """
SELECT data -> 'objects' -> 0 ->> 'id' FROM audit_records
WHERE action = 'limits.changed' ORDER BY sequence DESC LIMIT 1
"""
_PAGE = """
SELECT id, sequence, time, data, hash FROM audit_records
WHERE tenant = $2 AND ($3::text IS NULL OR person = $3) AND ($4::text IS NULL OR action = $4)
    AND ($5::timestamptz IS NULL OR time >= $5) AND ($6::timestamptz IS NULL OR time < $6)
    AND ($7::uuid IS NULL OR id {}) ORDER BY id {} LIMIT $1
"""
_OLDER, _NEWER = _PAGE.format("< $7", "DESC"), _PAGE.format("> $7", "ASC")


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


class AuditStore:
    def __init__(self, pool: Pool, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called after each commit of records."""
        self._pool, self._on_appended = pool, on_appended

    async def append(self, records: Sequence[AuditData]) -> None:
        await self._pool.execute(_APPEND, _encoded(records), current_traceparent())
        self._on_appended()

    async def append_limits(self, digest: str, record: AuditData) -> None:
        """Append it unless the latest record of limits has this digest, its first object."""
        async with self._pool.acquire() as connection, connection.transaction():
            # Processes that load the same file are in line.
            await connection.execute(_LOCK)
            if (await connection.fetchval(_LATEST_LIMITS) or NO_LIMITS) == digest:
                return
            await connection.execute(_APPEND, _encoded([record]), None)
        self._on_appended()

    async def page(
        self, tenant: str, wanted: AuditFilter
    ) -> tuple[Sequence[StoredAuditRecord], bool]:
        """The records of a page in its order, and whether more follow."""
        rows = await self._pool.fetch(
            _OLDER if wanted.older else _NEWER,
            wanted.limit + 1,
            tenant,
            wanted.user,
            wanted.action,
            wanted.since,
            wanted.until,
            wanted.cursor,
        )
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


def _encoded(records: Sequence[AuditData]) -> list[str]:
    return [encode_data(record).decode() for record in records]
