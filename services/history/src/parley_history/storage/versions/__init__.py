"""Versions of the read model side by side, each in a schema of its own; one of them is active.

`public.sessions`, `public.messages` and `public.usage` are views on the active one: each statement
that reads them sees one version, whole.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import asyncpg

Connection = asyncpg.Connection

_FILES = files(__name__)

# The lock first, then the path: a version that was swapped in meanwhile is the one that is entered.
_ENTER_ACTIVE = """
SELECT set_config('search_path', 'read_model_' || version, true)
FROM (SELECT version FROM public.active_read_model FOR SHARE) AS active
"""
_ENTER = "SELECT set_config('search_path', 'read_model_' || $1::int, true)"
_BEGIN_FIRST = """
INSERT INTO public.read_models (version, indexed_at)
SELECT 1, now() WHERE NOT EXISTS (SELECT FROM public.active_read_model)
ON CONFLICT DO NOTHING RETURNING version
"""
_ACTIVATE = """
WITH activated AS (
    UPDATE public.read_models SET activated_at = clock_timestamp() WHERE version = $1
    RETURNING version
)
INSERT INTO public.active_read_model (version) SELECT version FROM activated
ON CONFLICT (only_row) DO UPDATE SET version = excluded.version
"""
_VIEWS = """
CREATE OR REPLACE VIEW public.sessions AS SELECT * FROM read_model_{version}.sessions;
CREATE OR REPLACE VIEW public.messages AS SELECT * FROM read_model_{version}.messages;
CREATE OR REPLACE VIEW public.usage AS SELECT * FROM read_model_{version}.usage;
"""
_FORGET = "DELETE FROM public.read_models WHERE version = $1"


@asynccontextmanager
async def active_version(connection: "Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """A transaction in which the tables are those of the active version, and it stays the active.

    What is in no version must be named with its schema, as in `public.discarded_records`.
    """
    async with connection.transaction():
        await connection.execute(_ENTER_ACTIVE)
        yield


@asynccontextmanager
async def version_entered(
    connection: "Connection[asyncpg.Record]", version: int
) -> AsyncIterator[None]:
    """A transaction in which the tables are those of the given version, active or not."""
    async with connection.transaction():
        await enter(connection, version)
        yield


async def enter(connection: "Connection[asyncpg.Record]", version: int) -> None:
    """From here to the end of the transaction the tables are those of the version."""
    await connection.execute(_ENTER, version)


async def make_first_version(connection: "Connection[asyncpg.Record]") -> bool:
    """Make the first version, empty and active, unless there is an active one."""
    async with connection.transaction():
        version = await connection.fetchval(_BEGIN_FIRST)
        if version is None:
            return False
        await make_tables(connection, version)
        await add_keys(connection)
        await activate(connection, version)
        return True


async def make_tables(connection: "Connection[asyncpg.Record]", version: int) -> None:
    """Make the version's schema and tables, without what `add_keys` adds, and enter it."""
    await connection.execute(f"CREATE SCHEMA read_model_{version}")
    await enter(connection, version)
    await connection.execute(_FILES.joinpath("tables.sql").read_text())


async def add_keys(connection: "Connection[asyncpg.Record]") -> None:
    """Add the keys of messages and the indexes of lists and usage in the version entered."""
    await connection.execute(_FILES.joinpath("keys.sql").read_text())


async def activate(connection: "Connection[asyncpg.Record]", version: int) -> None:
    """Make it the one that is read and projected into, once the caller's transaction commits."""
    await connection.execute(_VIEWS.format(version=version))
    await connection.execute(_ACTIVATE, version)


async def drop_version(connection: "Connection[asyncpg.Record]", version: int) -> None:
    async with connection.transaction():
        await connection.execute(f"DROP SCHEMA IF EXISTS read_model_{version} CASCADE")
        await connection.execute(_FORGET, version)
