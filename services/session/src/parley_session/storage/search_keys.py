"""One key per person, under which history indexes the words of their messages."""

from collections.abc import Sequence
from uuid import UUID, uuid5

import msgspec

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool

_PEOPLE = UUID("c1f4f2c0-3f0d-4f5b-8a2e-5d1c7a9f6b21")


class SearchKeys:
    def __init__(self, pool: Pool, master_keys: MasterKeys) -> None:
        self._pool, self._master_keys = pool, master_keys

    async def of(self, people: Sequence[Principal]) -> list[DataKey | None]:
        """In the order of the people; made where there is none, None for who has no session."""
        tenants, owners = [p.tenant for p in people], [p.user for p in people]
        found = await self._found(tenants, owners)
        lacking = [person for person in people if (person.tenant, person.user) not in found]
        if lacking:
            await self._make(lacking)
            found = await self._found(tenants, owners)
        return [
            self._master_keys.unwrap(wrapped, place_of(person)) if wrapped else None
            for person in people
            for wrapped in [found.get((person.tenant, person.user))]
        ]

    async def _found(
        self, tenants: Sequence[str], owners: Sequence[str]
    ) -> dict[tuple[str, str], bytes]:
        rows = await self._pool.fetch(
            """
            SELECT tenant, owner, wrapped_key FROM search_keys
                JOIN unnest($1::text[], $2::text[]) AS asked (tenant, owner) USING (tenant, owner)
            """,
            tenants,
            owners,
        )
        return {(row["tenant"], row["owner"]): row["wrapped_key"] for row in rows}

    async def _make(self, people: Sequence[Principal]) -> None:
        await self._pool.execute(
            """
            INSERT INTO search_keys (tenant, owner, wrapped_key)
            SELECT DISTINCT ON (tenant, owner) tenant, owner, wrapped_key
            FROM unnest($1::text[], $2::text[], $3::bytea[]) AS made (tenant, owner, wrapped_key)
            WHERE EXISTS (
                SELECT FROM sessions
                WHERE sessions.tenant = made.tenant AND sessions.owner = made.owner
                    AND sessions.wrapped_key IS NOT NULL
            )
            ORDER BY tenant, owner
            ON CONFLICT DO NOTHING
            """,
            [person.tenant for person in people],
            [person.user for person in people],
            [self._master_keys.wrap(DataKey.generate(), place_of(person)) for person in people],
        )


def place_of(person: Principal) -> UUID:
    """What the key is wrapped for, as a session's key is for its session."""
    return uuid5(_PEOPLE, msgspec.json.encode([person.tenant, person.user]).decode())
