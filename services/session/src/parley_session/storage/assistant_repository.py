"""Read queries on assistants: by id, by version, the default one, and pages of them."""

from collections.abc import Sequence

import asyncpg

from parley_core.storage.postgres_pool import Pool

# A tenant's own assistant takes precedence over a shared one with the same id.
_FIND = """
SELECT a.tenant, a.id, a.version, a.is_default, a.retired, e.data
FROM assistants a JOIN assistant_events e ON e.stream_id = a.stream_id AND e.sequence = {version}
WHERE {which} ORDER BY a.tenant NULLS LAST LIMIT 1
"""
_BY_ID = "a.id = $2 AND (a.tenant = $1 OR a.tenant IS NULL)"
_NEWEST = _FIND.format(version="a.version", which=_BY_ID)
_AT_VERSION = _FIND.format(version="$3", which=_BY_ID)
_DEFAULT = _FIND.format(
    version="a.version", which="a.tenant IS NULL AND a.is_default AND NOT a.retired"
)

_PAGE = """
SELECT a.tenant, a.id, a.version, a.is_default, a.retired, e.data
FROM assistants a JOIN assistant_events e ON e.stream_id = a.stream_id AND e.sequence = a.version
WHERE (a.tenant = $1 OR a.tenant IS NULL AND NOT EXISTS (
        SELECT FROM assistants own WHERE own.tenant = $1 AND own.id = a.id
    )) AND NOT a.retired AND ($2::bigint IS NULL OR a.place {beyond} $2)
ORDER BY a.place {order} LIMIT $3
"""
_ASCENDING_PAGE = _PAGE.format(beyond=">", order="ASC")
_DESCENDING_PAGE = _PAGE.format(beyond="<", order="DESC")

_POSITION = """
SELECT place FROM assistants
WHERE id = $2 AND (tenant = $1 OR tenant IS NULL) ORDER BY tenant NULLS LAST LIMIT 1
"""


class AssistantRepository:
    """Rows hold tenant (null: shared), id, version, flags and the definition event's data."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, tenant: str, assistant_id: str) -> asyncpg.Record | None:
        return await self._pool.fetchrow(_NEWEST, tenant, assistant_id)

    async def find_version(
        self, tenant: str, assistant_id: str, version: int
    ) -> asyncpg.Record | None:
        return await self._pool.fetchrow(_AT_VERSION, tenant, assistant_id, version)

    async def find_default(self) -> asyncpg.Record | None:
        return await self._pool.fetchrow(_DEFAULT)

    async def page(
        self, tenant: str, position: int | None, limit: int, *, descending: bool
    ) -> Sequence[asyncpg.Record]:
        """Assistants that are not retired, in the order of their definition, past `position`."""
        statement = _DESCENDING_PAGE if descending else _ASCENDING_PAGE
        return await self._pool.fetch(statement, tenant, position, limit)

    async def position(self, tenant: str, assistant_id: str) -> int | None:
        """The position of an assistant in the order of definition."""
        position: int | None = await self._pool.fetchval(_POSITION, tenant, assistant_id)
        return position
