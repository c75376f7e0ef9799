"""Repository of the sessions to export."""

from collections.abc import Sequence
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.sessions.repository import SESSION_COLUMNS, ListedSession

_READ_TEMPLATE = """
SELECT {columns}
FROM sessions
WHERE id = ANY($1::uuid[]) AND tenant = $2 AND owner = $3 AND NOT deleted AND erased_at IS NULL
ORDER BY array_position($1::uuid[], id)
"""
_READ = _READ_TEMPLATE.format(columns=SESSION_COLUMNS)
_READ_IDS = """
SELECT id FROM sessions
WHERE tenant = $1 AND owner = $2 AND NOT deleted AND erased_at IS NULL AND expires_at IS NULL
ORDER BY updated_at DESC, id DESC
"""


class ExportRepository:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ids(self, owner: Principal) -> Sequence[UUID]:
        """Return all sessions of the owner's list, archived ones included."""
        rows = await self._pool.fetch(_READ_IDS, owner.tenant, owner.user)
        return [row["id"] for row in rows]

    async def read(self, ids: Sequence[UUID], owner: Principal) -> Sequence[ListedSession]:
        """Return the sessions in the order of the ids; foreign and deleted ones are absent."""
        rows = await self._pool.fetch(_READ, ids, owner.tenant, owner.user)
        return [ListedSession(*row.values()) for row in rows]
