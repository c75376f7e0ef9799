"""The sessions of an export, read from the read model."""

from collections.abc import Sequence
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.sessions.repository import SESSION_COLUMNS, ListedSession

_READ_LISTED = """
SELECT {columns}
FROM sessions
WHERE id = ANY($1::uuid[]) AND tenant = $2 AND owner = $3 AND NOT deleted AND erased_at IS NULL
ORDER BY array_position($1::uuid[], id)
"""
_READ = _READ_LISTED.format(columns=SESSION_COLUMNS)
_READ_IDS = """
SELECT id FROM sessions
WHERE tenant = $1 AND owner = $2 AND NOT deleted AND erased_at IS NULL AND expires_at IS NULL
ORDER BY updated_at DESC, id DESC
"""


class ExportedSessions:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ids(self, person: Principal) -> Sequence[UUID]:
        """All sessions that the person's list has, archived ones too."""
        rows = await self._pool.fetch(_READ_IDS, person.tenant, person.user)
        return [row["id"] for row in rows]

    async def read(self, ids: Sequence[UUID], person: Principal) -> Sequence[ListedSession]:
        """In the order of the ids, without those that are not the person's, or are gone."""
        rows = await self._pool.fetch(_READ, ids, person.tenant, person.user)
        return [ListedSession(*row.values()) for row in rows]
