"""Lookup of deleted and erased sessions."""

from collections.abc import Collection
from uuid import UUID

from parley_core.storage.postgres_pool import Pool

_READ = """
SELECT id FROM sessions WHERE id = ANY($1::uuid[]) AND (deleted OR erased_at IS NOT NULL)
"""


async def closed_sessions(pool: Pool, session_ids: Collection[UUID]) -> list[UUID]:
    """Return those of the sessions that are deleted or erased."""
    return [row["id"] for row in await pool.fetch(_READ, session_ids)]
