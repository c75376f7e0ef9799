"""Projected versions of sessions, of any owner."""

from collections.abc import Mapping
from uuid import UUID

from parley_core.storage.postgres_pool import Pool

_READ_VERSION = "SELECT version FROM sessions WHERE id = $1"
_READ_BEHIND = """
SELECT wanted.id, wanted.version
FROM unnest($1::uuid[], $2::int[]) AS wanted (id, version) LEFT JOIN sessions USING (id)
WHERE coalesce(sessions.version, 0) < wanted.version
"""


class SessionVersions:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def version(self, session_id: UUID) -> int:
        """Return the projected version of the session; 0 before its first event."""
        version: int | None = await self._pool.fetchval(_READ_VERSION, session_id)
        return version or 0

    async def behind(self, versions: Mapping[UUID, int]) -> dict[UUID, int]:
        """Return those of the versions that are not projected yet."""
        rows = await self._pool.fetch(_READ_BEHIND, [*versions], [*versions.values()])
        return {row["id"]: row["version"] for row in rows}
