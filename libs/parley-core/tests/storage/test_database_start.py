"""A process waits at its start for a database that is unavailable, and ends when it is refused."""

import asyncio
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from parley_core.process.process_state import ProcessState
from parley_core.storage import database_start
from parley_core.storage.database_start import MAX_REFUSALS, wait_until_migrated
from parley_core.storage.migrations import Migration, MigrationError, migrate, require_migrated
from parley_testing.eventually import eventually

FIRST = Migration(1, "people", "CREATE TABLE people (name text);")


async def require(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await require_migrated(connection, [FIRST])


async def test_the_start_waits_for_the_database_and_for_its_migrations(
    postgres_server: str,
) -> None:
    name, state = f"test_{uuid4().hex}", ProcessState()
    url = urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
    waiting = asyncio.create_task(
        wait_until_migrated(url, require, state, migration_wait_seconds=60)
    )
    await eventually(lambda: state.waiting_for == ("database",))
    connection = await asyncpg.connect(postgres_server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    await eventually(lambda: state.waiting_for == ("migrations",))
    connection = await asyncpg.connect(url)
    await migrate(connection, [FIRST])
    await connection.close()
    await asyncio.wait_for(waiting, 10)


async def test_refused_credentials_end_the_start(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_start, "_RETRY_INITIAL_SECONDS", 0.001)
    attempts, connect = 0, asyncpg.connect

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal attempts
        attempts += 1
        return await connect(*arguments, **options)

    monkeypatch.setattr(asyncpg, "connect", counted)
    parts = urlsplit(postgres_server)
    stranger = parts._replace(netloc=f"stranger:wrong@{parts.netloc.rpartition('@')[2]}").geturl()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await wait_until_migrated(stranger, require, ProcessState(), migration_wait_seconds=60)
    assert attempts == MAX_REFUSALS


async def test_migrations_that_do_not_come_end_the_start(database: str) -> None:
    with pytest.raises(MigrationError, match="Run the `migrate` command first"):
        await wait_until_migrated(database, require, ProcessState(), migration_wait_seconds=0)
