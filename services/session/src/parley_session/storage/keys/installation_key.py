"""Installation key in Postgres: one per database, made once, from which session ids are derived."""

from uuid import UUID

from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool
from parley_session.key_management.keyring import Keyring

WRAPPING_ID = UUID("9b7d2a52-4f0e-4a7b-9d7e-0f6c1c5d8a34")
"""The id that the key is wrapped for, as a data key is for its session."""


class InstallationKey:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool, self._keyring = pool, keyring
        self._key: DataKey | None = None

    async def get(self) -> DataKey:
        """Return the key; the first process that needs it makes it.

        Raises what `Keyring.unwrap` does when the master key is not the one that wrapped it.
        """
        if self._key is None:
            wrapped = await self._stored() or await self._create()
            self._key = await self._keyring.unwrap(wrapped, WRAPPING_ID)
        return self._key

    async def _stored(self) -> bytes | None:
        wrapped: bytes | None = await self._pool.fetchval(
            "SELECT wrapped_key FROM installation_key"
        )
        return wrapped

    async def _create(self) -> bytes | None:
        await self._pool.execute(
            "INSERT INTO installation_key (wrapped_key) VALUES ($1) ON CONFLICT DO NOTHING",
            await self._keyring.wrap(DataKey.generate(), WRAPPING_ID),
        )
        return await self._stored()
