"""Search keys in Postgres: one per person, under which history indexes message words."""

from collections.abc import Sequence
from uuid import UUID, uuid5

import msgspec

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool
from parley_session.key_management.keyring import Keyring

# Namespace of the ids that search keys are wrapped for.
_NAMESPACE = UUID("c1f4f2c0-3f0d-4f5b-8a2e-5d1c7a9f6b21")


class SearchKeys:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool, self._keyring = pool, keyring

    async def get_or_create(self, people: Sequence[Principal]) -> list[DataKey | None]:
        """Keys in the order of `people`; None for a person without sessions."""
        tenants, owners = [p.tenant for p in people], [p.user for p in people]
        found = await self._stored(tenants, owners)
        missing = [
            principal for principal in people if (principal.tenant, principal.user) not in found
        ]
        if missing:
            await self._create(missing)
            found = await self._stored(tenants, owners)
        wrapped = {
            principal: found[principal.tenant, principal.user]
            for principal in people
            if (principal.tenant, principal.user) in found
        }
        unwrapped = await self._keyring.unwrap_all(
            [(each, wrapping_id(principal)) for principal, each in wrapped.items()]
        )
        keys = dict(zip(wrapped, unwrapped, strict=True))
        return [keys.get(principal) for principal in people]

    async def _stored(
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

    async def _create(self, people: Sequence[Principal]) -> None:
        new_keys = [(DataKey.generate(), wrapping_id(principal)) for principal in people]
        wrapped = await self._keyring.wrap_all(new_keys)
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
            [principal.tenant for principal in people],
            [principal.user for principal in people],
            wrapped,
        )


def wrapping_id(principal: Principal) -> UUID:
    """The id that a person's search key is wrapped for, as a data key is for its session."""
    return uuid5(_NAMESPACE, msgspec.json.encode([principal.tenant, principal.user]).decode())
