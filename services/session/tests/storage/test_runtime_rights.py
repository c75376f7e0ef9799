"""The role with which session serves can change rows, but neither the schema nor the past.

That its rights suffice is shown by the other tests: their services and commands have this role.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from session_support.process import Run

from parley_core.storage.postgres_pool import Pool
from parley_session.storage.migrations.runtime_rights import ROLE_VARIABLE, RUNTIME_RIGHTS
from parley_testing.role_sql import create_role, drop_role

TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)

HAS_RIGHT = "SELECT has_table_privilege($1, $2, $3)"
LATER_MIGRATION = """
INSERT INTO schema_migrations (number, name, sha256, oldest_reader) VALUES (9999, 'later', '', 0)
"""


@pytest.fixture
async def runtime(runtime_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(runtime_database)
    yield connection
    await connection.close()


async def test_the_list_of_rights_names_every_table(pool: Pool) -> None:
    assert {row["relname"] for row in await pool.fetch(TABLES)} == {*RUNTIME_RIGHTS}


@pytest.mark.parametrize("table", RUNTIME_RIGHTS)
async def test_the_role_cannot_change_or_empty_a_table(
    runtime: asyncpg.Connection, table: str
) -> None:
    for statement in (
        f"DROP TABLE {table}",
        f"ALTER TABLE {table} ADD COLUMN planted text",
        f"TRUNCATE {table}",
        f"CREATE INDEX planted ON {table} ((1))",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runtime.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE planted (name text)",
        "CREATE SCHEMA planted",
        "CREATE OR REPLACE FUNCTION count_tokens(of_tenant text, of_subjects text[], tokens bigint)"
        " RETURNS void LANGUAGE sql AS $$ $$",
        "UPDATE events SET type = 'other'",
        "DELETE FROM events",
        "UPDATE assistant_events SET type = 'other'",
        "DELETE FROM api_key_events",
        "DELETE FROM sessions",
        "DELETE FROM schema_migrations",
        "DELETE FROM installation_key",
    ],
)
async def test_the_role_can_change_neither_the_schema_nor_what_has_happened(
    runtime: asyncpg.Connection, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute(statement)


async def test_migrate_gives_the_named_role_its_rights_and_takes_others_unless_it_is_the_older(
    run: Run, database: str, postgres_server: str
) -> None:
    role = f"test_{uuid4().hex}"
    refused = await run("migrate", database, session_database_runtime_role=role)
    assert refused.code == 1
    assert ROLE_VARIABLE in refused.stderr
    await create_role(postgres_server, role)
    assert (await run("migrate", database, session_database_runtime_role=role)).code == 0
    connection = await asyncpg.connect(database)
    for table, rights in RUNTIME_RIGHTS.items():
        for right in rights.split(", "):
            assert await connection.fetchval(HAS_RIGHT, role, table, right), (table, right)
    # A later version, which may still run beside this one, needed more.
    await connection.execute(f"GRANT DELETE ON sessions TO {role}; {LATER_MIGRATION}")
    assert (await run("migrate", database, session_database_runtime_role=role)).code == 0
    assert await connection.fetchval(HAS_RIGHT, role, "sessions", "DELETE")
    await connection.execute("DELETE FROM schema_migrations WHERE name = 'later'")
    assert (await run("migrate", database, session_database_runtime_role=role)).code == 0
    assert not await connection.fetchval(HAS_RIGHT, role, "sessions", "DELETE")
    await connection.execute(f"DROP OWNED BY {role}")
    await connection.close()
    await drop_role(postgres_server, role)
