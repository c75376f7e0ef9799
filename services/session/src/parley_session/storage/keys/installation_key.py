"""Installation key in Postgres: one per database, made once, from which session ids are derived."""

from uuid import UUID

from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool

WRAPPING_ID = UUID("9b7d2a52-4f0e-4a7b-9d7e-0f6c1c5d8a34")
"""The id that the key is wrapped for, as a data key is for its session."""


async def load_installation_key(pool: Pool, master_keys: MasterKeys) -> DataKey:
    """Return the key, and make it on the first start.

    Raises UnknownMasterKey or UnsealError when the master key is not the one that wrapped it.
    """
    await pool.execute(
        "INSERT INTO installation_key (wrapped_key) VALUES ($1) ON CONFLICT DO NOTHING",
        master_keys.wrap(DataKey.generate(), WRAPPING_ID),
    )
    wrapped = await pool.fetchval("SELECT wrapped_key FROM installation_key")
    return master_keys.unwrap(wrapped, WRAPPING_ID)
