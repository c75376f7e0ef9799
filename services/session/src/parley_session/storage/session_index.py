"""Which sessions a person has, and which are gone, as the rows tell it without a key."""

from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool

# How long runners are told of a session that is gone.
_TOLD_SECONDS = 60
_TOLD_AT_ONCE = 1_000

FORGET_SEARCH_KEY = """
DELETE FROM search_keys WHERE tenant = $1 AND owner = $2 AND NOT EXISTS (
    SELECT FROM sessions
    WHERE sessions.tenant = $1 AND sessions.owner = $2 AND wrapped_key IS NOT NULL
)
"""


class SessionIndex:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def erased_version(self, session_id: UUID, person: Principal) -> int | None:
        """The last version of a session of the person that was erased; of no completion."""
        version: int | None = await self._pool.fetchval(
            """
            SELECT version FROM sessions
            WHERE id = $1 AND tenant = $2 AND owner = $3 AND wrapped_key IS NULL
                AND assistant_id IS NOT NULL
            """,
            session_id,
            person.tenant,
            person.user,
        )
        return version

    async def has_completion(self, completion_id: UUID, person: Principal) -> bool:
        """Whether the person was served a completion with this id."""
        found: bool = await self._pool.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM sessions
                WHERE id = $1 AND tenant = $2 AND owner = $3 AND assistant_id IS NULL
            )
            """,
            completion_id,
            person.tenant,
            person.user,
        )
        return found

    async def erasable_of(self, person: Principal, limit: int) -> list[UUID]:
        """Without those that a legal hold keeps."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM sessions
            WHERE tenant = $1 AND owner = $2 AND wrapped_key IS NOT NULL AND NOT held
            ORDER BY id LIMIT $3
            """,
            person.tenant,
            person.user,
            limit,
        )
        return [row["id"] for row in rows]

    async def held_of(self, person: Principal) -> int:
        """How many sessions of the person a legal hold keeps."""
        held: int = await self._pool.fetchval(
            """
            SELECT count(*) FROM sessions
            WHERE tenant = $1 AND owner = $2 AND wrapped_key IS NOT NULL AND held
            """,
            person.tenant,
            person.user,
        )
        return held

    async def forget_search_key(self, person: Principal) -> None:
        """Destroy the key of a person who has no session any more."""
        await self._pool.execute(FORGET_SEARCH_KEY, person.tenant, person.user)

    async def recently_erased(self) -> list[UUID]:
        """The sessions that were deleted or erased in the last minute."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM sessions WHERE erased_at > now() - make_interval(secs => $1)
            UNION
            SELECT id FROM sessions WHERE deleted_at > now() - make_interval(secs => $1)
            LIMIT $2
            """,
            _TOLD_SECONDS,
            _TOLD_AT_ONCE,
        )
        return [row["id"] for row in rows]
