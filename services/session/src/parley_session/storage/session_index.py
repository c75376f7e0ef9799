"""Queries on the `sessions` table by owner and state; none of them needs a key."""

from collections.abc import Sequence
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool

# Heartbeats repeat an erased session for this long, so that a lost response does no harm.
_RECENTLY_SECONDS = 60
_MAX_RECENTLY_ERASED = 1_000
# A list must have the effect of the commands before it: of as many as one request may erase.
_LATEST, _MAX_LATEST = 100, 1_000

DELETE_UNUSED_SEARCH_KEY = """
DELETE FROM search_keys WHERE tenant = $1 AND owner = $2 AND NOT EXISTS (
    SELECT FROM sessions
    WHERE sessions.tenant = $1 AND sessions.owner = $2 AND wrapped_key IS NOT NULL
)
"""


class SessionIndex:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def versions(self, session_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The versions of the sessions that can be read; others are absent."""
        rows = await self._pool.fetch(
            """
            SELECT id, version FROM sessions
            WHERE id = ANY($1) AND wrapped_key IS NOT NULL AND NOT deleted
            """,
            session_ids,
        )
        return {row["id"]: row["version"] for row in rows}

    async def by_tenant(self, session_ids: Sequence[UUID]) -> dict[str, list[UUID]]:
        """Those of the sessions that exist, by their tenant."""
        rows = await self._pool.fetch(
            "SELECT tenant, array_agg(id) AS ids FROM sessions WHERE id = ANY($1) GROUP BY tenant",
            session_ids,
        )
        return {row["tenant"]: row["ids"] for row in rows}

    async def latest_versions(self, principal: Principal) -> dict[UUID, int]:
        """The versions of the person's sessions that changed last, also of erased ones.

        100 sessions, and of those that changed within the last minute 1,000.
        """
        rows = await self._pool.fetch(
            """
            SELECT id, version FROM (
                SELECT id, version, updated_at, row_number() OVER (ORDER BY updated_at DESC) AS rank
                FROM sessions
                WHERE tenant = $1 AND owner = $2 AND assistant_id IS NOT NULL
                ORDER BY updated_at DESC LIMIT $4
            ) AS latest
            WHERE rank <= $3 OR updated_at > now() - make_interval(secs => $5)
            """,
            principal.tenant,
            principal.user,
            _LATEST,
            _MAX_LATEST,
            _RECENTLY_SECONDS,
        )
        return {row["id"]: row["version"] for row in rows}

    async def erased_version(self, session_id: UUID, principal: Principal) -> int | None:
        """The last version of an erased session that `principal` owned; None for a completion."""
        version: int | None = await self._pool.fetchval(
            """
            SELECT version FROM sessions
            WHERE id = $1 AND tenant = $2 AND owner = $3 AND wrapped_key IS NULL
                AND assistant_id IS NOT NULL
            """,
            session_id,
            principal.tenant,
            principal.user,
        )
        return version

    async def has_completion(self, completion_id: UUID, principal: Principal) -> bool:
        """Whether a stateless completion with this id was recorded for `principal`."""
        found: bool = await self._pool.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM sessions
                WHERE id = $1 AND tenant = $2 AND owner = $3 AND assistant_id IS NULL
            )
            """,
            completion_id,
            principal.tenant,
            principal.user,
        )
        return found

    async def latest_with_assistant(self, principal: Principal, assistant_id: str) -> UUID | None:
        """The session with that assistant that changed last.

        Leaves out archived, deleted and temporary sessions.
        """
        session_id: UUID | None = await self._pool.fetchval(
            """
            SELECT id FROM sessions
            WHERE tenant = $1 AND owner = $2 AND assistant_id = $3 AND wrapped_key IS NOT NULL
                AND erase_at IS NULL AND NOT archived
            ORDER BY updated_at DESC, id LIMIT 1
            """,
            principal.tenant,
            principal.user,
            assistant_id,
        )
        return session_id

    async def erasable_of(self, principal: Principal, limit: int) -> list[UUID]:
        """Sessions that exist and are not under a legal hold."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM sessions
            WHERE tenant = $1 AND owner = $2 AND wrapped_key IS NOT NULL AND NOT held
            ORDER BY id LIMIT $3
            """,
            principal.tenant,
            principal.user,
            limit,
        )
        return [row["id"] for row in rows]

    async def count_legal_holds(self, principal: Principal) -> int:
        """How many sessions of `principal` are under a legal hold."""
        count: int = await self._pool.fetchval(
            """
            SELECT count(*) FROM sessions
            WHERE tenant = $1 AND owner = $2 AND wrapped_key IS NOT NULL AND held
            """,
            principal.tenant,
            principal.user,
        )
        return count

    async def delete_unused_search_key(self, principal: Principal) -> None:
        """Destroy the search key of a person without sessions."""
        await self._pool.execute(DELETE_UNUSED_SEARCH_KEY, principal.tenant, principal.user)

    async def recently_erased(self) -> list[UUID]:
        """Sessions deleted or erased within the last minute."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM sessions WHERE erased_at > now() - make_interval(secs => $1)
            UNION
            SELECT id FROM sessions WHERE deleted_at > now() - make_interval(secs => $1)
            LIMIT $2
            """,
            _RECENTLY_SECONDS,
            _MAX_RECENTLY_ERASED,
        )
        return [row["id"] for row in rows]
