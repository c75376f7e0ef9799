"""The databases of the services, on a real PostgreSQL: each role enters its own and no other."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from parley_cli.engines import EngineError, free_port
from parley_cli.stack.up.databases import EmbeddedDatabase, holds_events, prepare_databases


@pytest.fixture
async def two(postgres_server: str) -> AsyncIterator[list[EmbeddedDatabase]]:
    names = [f"parley_{uuid4().hex[:12]}" for _ in range(2)]
    databases = [EmbeddedDatabase(name, uuid4().hex) for name in names]
    yield databases
    connection = await asyncpg.connect(postgres_server)
    for name in names:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"DROP ROLE IF EXISTS {name}")
    await connection.close()


async def test_each_role_makes_tables_in_its_own_database_and_enters_no_other(
    postgres_server: str, two: list[EmbeddedDatabase]
) -> None:
    await prepare_databases(postgres_server, two, whole_server=False)
    own = await asyncpg.connect(two[0].dsn(postgres_server))
    await own.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await own.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(two[0].dsn(postgres_server), database=two[1].name)


async def test_a_second_time_keeps_what_is_there_and_takes_a_new_password(
    postgres_server: str, two: list[EmbeddedDatabase]
) -> None:
    await prepare_databases(postgres_server, two, whole_server=False)
    connection = await asyncpg.connect(two[0].dsn(postgres_server))
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    changed = EmbeddedDatabase(two[0].name, "another")
    await prepare_databases(postgres_server, [changed], whole_server=False)
    connection = await asyncpg.connect(changed.dsn(postgres_server))
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()


async def test_stored_events_are_noticed(postgres_server: str, two: list[EmbeddedDatabase]) -> None:
    name = two[0].name
    assert not await holds_events(postgres_server, name)
    await prepare_databases(postgres_server, two, whole_server=False)
    assert not await holds_events(postgres_server, name)
    connection = await asyncpg.connect(two[0].dsn(postgres_server))
    await connection.execute("CREATE TABLE events (id int)")
    assert not await holds_events(postgres_server, name)
    await connection.execute("INSERT INTO events VALUES (1)")
    assert await holds_events(postgres_server, name)
    await connection.close()


async def test_no_server_is_a_sentence_without_the_password() -> None:
    nowhere = f"postgresql://postgres:secret@127.0.0.1:{free_port()}/postgres"
    with pytest.raises(EngineError, match="The databases could not be made: ") as told:
        await prepare_databases(nowhere, [], whole_server=True)
    assert "secret" not in str(told.value)


def test_the_address_of_a_database_keeps_the_servers_and_its_options() -> None:
    dsn = EmbeddedDatabase("parley_session", "pw").dsn(
        "postgresql://me:mine@db:5/postgres?sslmode=require"
    )
    assert dsn == "postgresql://parley_session:pw@db:5/parley_session?sslmode=require"
    assert urlsplit(dsn).hostname == "db"
