"""The roles of history's processes change rows at most, each in the tables that it needs.

That their rights suffice is shown by the other tests, whose processes have these roles.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from history_testing.read_model import ReadModelTables

from parley_history.storage.migrations import migrate_history
from parley_history.storage.role_rights import PUBLIC_RIGHTS, VERSION_RIGHTS
from parley_history.storage.versions.schema import activate, add_keys, create_tables

# Only `migrate` and `rebuild` use these.
OF_THE_OWNER = {"read_models", "database_roles"}
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'v')
"""


LATER_MIGRATION = """
INSERT INTO schema_migrations (number, name, sha256, oldest_reader) VALUES (9999, 'later', '', 0)
"""


@pytest.fixture
async def runtime(tables: ReadModelTables) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(tables.runtime_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def reader(tables: ReadModelTables) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(tables.reader_dsn)
    yield connection
    await connection.close()


async def test_the_lists_of_rights_name_every_table(tables: ReadModelTables) -> None:
    for schema, rights, others in (
        ("public", PUBLIC_RIGHTS, OF_THE_OWNER),
        ("read_model_1", VERSION_RIGHTS, set[str]()),
    ):
        rows = await tables.connection.fetch(TABLES, schema)
        assert {row["relname"] for row in rows} == others.union(*rights.values())


@pytest.mark.parametrize("process", ["project", "serve"])
async def test_no_role_can_change_the_schema_or_empty_a_table(
    runtime: asyncpg.Connection, reader: asyncpg.Connection, process: str
) -> None:
    connection = runtime if process == "project" else reader
    for statement in (
        "DROP TABLE read_model_1.messages",
        "DROP SCHEMA read_model_1 CASCADE",
        "ALTER TABLE read_model_1.messages ADD COLUMN planted text",
        "TRUNCATE read_model_1.messages",
        "TRUNCATE public.search_messages",
        "CREATE TABLE planted (name text)",
        "CREATE SCHEMA planted",
        "CREATE OR REPLACE VIEW public.sessions AS SELECT 1",
        "UPDATE public.active_read_model SET version = 1",
        "DELETE FROM public.discarded_records",
        "DELETE FROM public.schema_migrations",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_the_role_that_serves_cannot_write_the_read_model(
    reader: asyncpg.Connection,
) -> None:
    for statement in (
        "DELETE FROM public.messages",
        "UPDATE read_model_1.sessions SET owner = 'eve'",
        "SELECT value FROM read_model_1.dead_letters",
        "SELECT FROM public.discarded_records",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)


async def test_the_role_that_projects_cannot_read_the_search_index(
    runtime: asyncpg.Connection,
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute("SELECT FROM public.search_messages")


async def test_a_version_that_becomes_active_has_the_rights_of_the_roles(
    tables: ReadModelTables, runtime: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    owner = tables.connection
    async with owner.transaction():
        await owner.execute("INSERT INTO public.read_models (version) VALUES (2)")
        await create_tables(owner, 2)
        await add_keys(owner)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute("SELECT FROM read_model_2.positions")
    async with owner.transaction():
        await activate(owner, 2)
    await runtime.execute("INSERT INTO read_model_2.positions VALUES (1, 0)")
    await reader.execute("SELECT session_id FROM read_model_2.dead_letters")
    await reader.execute("SELECT FROM public.sessions")


async def test_an_older_version_leaves_the_rights_that_a_later_one_gave(
    tables: ReadModelTables,
) -> None:
    # Like `migrate`, without the search path of a version.
    owner = await asyncpg.connect(tables.dsn)
    role = await owner.fetchval("SELECT role FROM public.database_roles WHERE kind = 'reader'")
    has_right = "SELECT has_table_privilege($1, 'public.discarded_records', 'SELECT')"
    await owner.execute(f"GRANT SELECT ON public.discarded_records TO {role}; {LATER_MIGRATION}")
    await migrate_history(owner, {"reader": role})
    assert await owner.fetchval(has_right, role)
    await owner.execute("DELETE FROM schema_migrations WHERE name = 'later'")
    await migrate_history(owner, {"reader": role})
    assert not await owner.fetchval(has_right, role)
    await owner.close()
