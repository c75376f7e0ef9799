"""Schemas of the read-model versions: create, enter, activate and drop.

Each version has a schema of its own, and one version is active. `public.sessions`,
`public.messages` and `public.usage` are views of the active version, so a statement that reads
them sees one version as a whole.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from parley_history.storage.database import Connection
from parley_history.storage.role_rights import grant_version_rights

_FILES = files(__package__)

ENTER_ACTIVE_VERSION = """
SELECT set_config('search_path', 'read_model_' || version, true) FROM public.active_read_model
"""
"""For readers, which a swap does not block: without the row lock that writers take."""

# The lock comes first, then the path: after a concurrent swap, the new version is entered.
_LOCK_AND_ENTER_ACTIVE = """
SELECT set_config('search_path', 'read_model_' || version, true)
FROM (SELECT version FROM public.active_read_model FOR SHARE) AS active
"""
_ENTER = "SELECT set_config('search_path', 'read_model_' || $1::int, true)"
_INSERT_FIRST = """
INSERT INTO public.read_models (version, indexed_at)
SELECT 1, now() WHERE NOT EXISTS (SELECT FROM public.active_read_model)
ON CONFLICT DO NOTHING RETURNING version
"""
_HAS_ACTIVE = "SELECT EXISTS (SELECT FROM public.active_read_model)"
_ACTIVATE = """
WITH activated AS (
    UPDATE public.read_models SET activated_at = clock_timestamp() WHERE version = $1
    RETURNING version
)
INSERT INTO public.active_read_model (version) SELECT version FROM activated
ON CONFLICT (only_row) DO UPDATE SET version = excluded.version
"""
_CREATE_VIEWS = """
CREATE OR REPLACE VIEW public.sessions AS SELECT * FROM read_model_{version}.sessions;
CREATE OR REPLACE VIEW public.messages AS SELECT * FROM read_model_{version}.messages;
CREATE OR REPLACE VIEW public.usage AS SELECT * FROM read_model_{version}.usage;
"""
_DELETE = "DELETE FROM public.read_models WHERE version = $1"


@asynccontextmanager
async def active_version(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction in the tables of the active version, which stays active until its end.

    Tables outside the versions must be qualified, as in `public.discarded_records`.
    """
    async with connection.transaction():
        await connection.execute(_LOCK_AND_ENTER_ACTIVE)
        yield


@asynccontextmanager
async def version_transaction(connection: Connection, version: int) -> AsyncIterator[None]:
    """Open a transaction in the tables of the given version, active or not."""
    async with connection.transaction():
        await enter_version(connection, version)
        yield


async def enter_version(connection: Connection, version: int) -> None:
    """Resolve table names in the version until the end of the transaction."""
    await connection.execute(_ENTER, version)


async def has_active_version(connection: Connection) -> bool:
    return bool(await connection.fetchval(_HAS_ACTIVE))


async def create_first_version(connection: Connection) -> bool:
    """Create version 1, empty and active, unless a version is active already."""
    async with connection.transaction():
        version = await connection.fetchval(_INSERT_FIRST)
        if version is None:
            return False
        await create_tables(connection, version)
        await add_keys(connection)
        await activate(connection, version)
        return True


async def create_tables(connection: Connection, version: int) -> None:
    """Create and enter the schema of the version, without the keys that `add_keys` adds."""
    await connection.execute(f"CREATE SCHEMA read_model_{version}")
    await enter_version(connection, version)
    await connection.execute(_FILES.joinpath("tables.sql").read_text())


async def add_keys(connection: Connection) -> None:
    """Add the keys of messages and the indexes of lists and usage to the entered version."""
    await connection.execute(_FILES.joinpath("keys.sql").read_text())


async def activate(connection: Connection, version: int) -> None:
    """Make the version active for readers and projectors when the transaction commits."""
    await grant_version_rights(connection, version)
    await connection.execute(_CREATE_VIEWS.format(version=version))
    await connection.execute(_ACTIVATE, version)


async def drop_version(connection: Connection, version: int) -> None:
    async with connection.transaction():
        await connection.execute(f"DROP SCHEMA IF EXISTS read_model_{version} CASCADE")
        await connection.execute(_DELETE, version)
