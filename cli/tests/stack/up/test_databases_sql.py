"""Databases of the services on PostgreSQL: each role can access only its own."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from parley_cli.engines import EngineError, free_port
from parley_cli.stack.up.databases_sql import ServiceDatabase, contains_events, prepare_databases


@pytest.fixture
async def databases(postgres_server: str) -> AsyncIterator[list[ServiceDatabase]]:
    names = [f"parley_{uuid4().hex[:12]}" for _ in range(2)]
    yield [ServiceDatabase(name, uuid4().hex, {f"{name}_serves": uuid4().hex}) for name in names]
    connection = await asyncpg.connect(postgres_server)
    for name in names:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"DROP ROLE IF EXISTS {name}, {name}_serves")
    await connection.close()


async def test_each_role_creates_tables_in_its_own_database_and_cannot_connect_to_another(
    postgres_server: str, databases: list[ServiceDatabase]
) -> None:
    await prepare_databases(postgres_server, databases, restrict_server=False)
    own = await asyncpg.connect(databases[0].dsn(postgres_server))
    await own.execute("CREATE TABLE stored AS SELECT 7 AS number")
    await own.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(databases[0].dsn(postgres_server), database=databases[1].name)


async def test_the_role_of_a_service_can_do_nothing_until_the_owner_lets_it(
    postgres_server: str, databases: list[ServiceDatabase]
) -> None:
    await prepare_databases(postgres_server, databases, restrict_server=False)
    role = f"{databases[0].name}_serves"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(databases[0].dsn(postgres_server, role))
    owner = await asyncpg.connect(databases[0].dsn(postgres_server))
    await owner.execute(f"GRANT CONNECT ON DATABASE {databases[0].name} TO {role}")
    await owner.close()
    serves = await asyncpg.connect(databases[0].dsn(postgres_server, role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await serves.execute("CREATE TABLE stored AS SELECT 7 AS number")
    await serves.close()


async def test_preparing_again_keeps_the_data_and_sets_the_new_password(
    postgres_server: str, databases: list[ServiceDatabase]
) -> None:
    await prepare_databases(postgres_server, databases, restrict_server=False)
    connection = await asyncpg.connect(databases[0].dsn(postgres_server))
    await connection.execute("CREATE TABLE stored AS SELECT 7 AS number")
    await connection.close()
    changed = ServiceDatabase(databases[0].name, "another")
    await prepare_databases(postgres_server, [changed], restrict_server=False)
    connection = await asyncpg.connect(changed.dsn(postgres_server))
    assert await connection.fetchval("SELECT number FROM stored") == 7
    await connection.close()


async def test_stored_events_are_detected(
    postgres_server: str, databases: list[ServiceDatabase]
) -> None:
    name = databases[0].name
    assert not await contains_events(postgres_server, name)
    await prepare_databases(postgres_server, databases, restrict_server=False)
    assert not await contains_events(postgres_server, name)
    connection = await asyncpg.connect(databases[0].dsn(postgres_server))
    await connection.execute("CREATE TABLE events (id int)")
    assert not await contains_events(postgres_server, name)
    await connection.execute("INSERT INTO events VALUES (1)")
    assert await contains_events(postgres_server, name)
    await connection.close()


async def test_an_unreachable_server_is_reported_without_the_password() -> None:
    nowhere = f"postgresql://postgres:secret@127.0.0.1:{free_port()}/postgres"
    with pytest.raises(EngineError, match="The databases cannot be created: ") as raised:
        await prepare_databases(nowhere, [], restrict_server=True)
    assert "secret" not in str(raised.value)


def test_the_dsn_of_a_database_keeps_the_host_and_options_of_the_server() -> None:
    dsn = ServiceDatabase("parley_session", "pw").dsn(
        "postgresql://me:mine@db:5/postgres?sslmode=require"
    )
    assert dsn == "postgresql://parley_session:pw@db:5/parley_session?sslmode=require"
    assert urlsplit(dsn).hostname == "db"
