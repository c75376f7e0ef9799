"""Projected versions of sessions, of any owner."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from parley_core.storage.postgres_pool import Pool
from parley_history.storage.versions.schema import ENTER_ACTIVE_VERSION

_READ_VERSION = "SELECT version FROM sessions WHERE id = $1"
_READ_BEHIND = """
SELECT wanted.id, wanted.version
FROM unnest($1::uuid[], $2::int[]) AS wanted (id, version) LEFT JOIN sessions USING (id)
WHERE coalesce(sessions.version, 0) < wanted.version
"""
_READ_PARKED = "SELECT DISTINCT session_id FROM dead_letters WHERE session_id = ANY($1::uuid[])"


class SessionVersions:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def version(self, session_id: UUID) -> int:
        """Return the projected version of the session; 0 before its first event."""
        version: int | None = await self._pool.fetchval(_READ_VERSION, session_id)
        return version or 0

    async def behind(self, versions: Mapping[UUID, int]) -> dict[UUID, int]:
        """Return those of the versions that are not projected yet, and not parked."""
        rows = await self._pool.fetch(_READ_BEHIND, [*versions], [*versions.values()])
        behind = {row["id"]: row["version"] for row in rows}
        parked = await self._parked([*behind]) if behind else ()
        return {id: version for id, version in behind.items() if id not in parked}

    async def _parked(self, session_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the sessions that wait for an operator, because of a dead letter."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ENTER_ACTIVE_VERSION)
            rows = await connection.fetch(_READ_PARKED, session_ids)
        return {row["session_id"] for row in rows}
