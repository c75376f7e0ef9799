"""Fixtures: an empty event store per test, and session services on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from session_support.components import Components, components_on
from session_support.process import Ended, Run, variables
from session_support.service import Service, serve_session

from parley_core.log import Brokers, ensure_topic
from parley_core.storage.migrations import load_migrations, migrate
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_events.topics import TopicSpec
from parley_session import wiring
from parley_session.__main__ import main
from parley_session.application.assistants.definitions_file import read_assistants
from parley_session.application.assistants.seeding import seed_assistants
from parley_session.storage.migrations import MIGRATIONS
from parley_session.storage.migrations.runtime_rights import grant_runtime_rights
from parley_testing.processes import environment_with
from parley_testing.role_sql import create_role, url_of_role


class Serve:
    """Starts session services on one database, which are stopped with the stack."""

    def __init__(self, database: str, stack: AsyncExitStack) -> None:
        self._database, self._stack = database, stack

    async def __call__(self, **given: Any) -> Service:
        return await self._stack.enter_async_context(self.stoppable(**given))

    def stoppable(self, **given: Any) -> AbstractAsyncContextManager[Service]:
        """A service that is stopped at the end of the block."""
        return serve_session(given.pop("database", self._database), **given)


@pytest.fixture(scope="session")
def migrated_database(postgres_server: str, run_beside_tests: Callable[..., None]) -> str:
    """One database for all tests, because creating one takes longer than most tests."""
    name = f"test_{uuid4().hex}"
    run_beside_tests(_make(postgres_server, name))
    return urlsplit(postgres_server)._replace(path=f"/{name}").geturl()


@pytest.fixture
async def store_database(migrated_database: str) -> str:
    """The URL of a migrated database with empty tables, and a runner that has room for turns."""
    connection = await asyncpg.connect(migrated_database)
    # A killed process may have left a running statement. Not TRUNCATE: it creates new files for
    # each table and index.
    await connection.execute(
        """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
        DELETE FROM sessions;
        DELETE FROM events;
        DELETE FROM outbox;
        DELETE FROM turns;
        DELETE FROM runners;
        DELETE FROM remembered_requests;
        DELETE FROM search_keys;
        DELETE FROM turn_counts;
        DELETE FROM assistant_outbox;
        DELETE FROM api_keys;
        DELETE FROM api_key_events;
        DELETE FROM api_key_outbox;
        DELETE FROM revocations;
        DELETE FROM installation_key;
        DELETE FROM daily_costs;
        DELETE FROM cost_reservations;
        DELETE FROM audit_records;
        DELETE FROM audit_outbox;
        UPDATE audit_chain SET sequence = 0, time = '-infinity', hash = repeat('0', 64);
        DELETE FROM assistant_events USING assistants
            WHERE assistants.stream_id = assistant_events.stream_id AND tenant IS NOT NULL;
        DELETE FROM assistants WHERE tenant IS NOT NULL;
        INSERT INTO runners (id, seen_at, turns, capacity)
            VALUES (gen_random_uuid(), now() + interval '1 hour', '{}', 1000);
        UPDATE sweeper SET last_tick = now(), quiet_until = now()
        """
    )
    await connection.close()
    return migrated_database


@pytest.fixture
async def pool(store_database: str) -> AsyncIterator[Pool]:
    """Connections of the test."""
    async with open_pool(
        store_database, max_connections=16, timeout_seconds=10, application_name="test"
    ) as pool:
        yield pool


@pytest.fixture
def runtime_database(store_database: str) -> str:
    """The URL of the same database for the role with which session serves."""
    return url_of_role(store_database, _runtime_role(store_database))


@pytest.fixture
async def components(runtime_database: str) -> AsyncIterator[Components]:
    async with open_pool(
        runtime_database, max_connections=16, timeout_seconds=10, application_name="components"
    ) as pool:
        yield components_on(pool)


@pytest.fixture
async def serve(runtime_database: str) -> AsyncIterator[Serve]:
    """Starts session services on the database of the test, with the given settings."""
    async with AsyncExitStack() as stack:
        yield Serve(runtime_database, stack)


@pytest.fixture
async def session(serve: Serve) -> Service:
    return await serve()


@pytest.fixture
def frequent_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the store monitor change at once."""
    monkeypatch.setattr(wiring, "MEASURE_INTERVAL_SECONDS", 0.05)


@pytest.fixture
async def log_topic(kafka_bootstrap: str, topic: str) -> str:
    """An existing topic of this test."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a short command in this process, because starting another one takes a second."""

    async def run(command: str, database: str, **settings: Any) -> Ended:
        monkeypatch.setattr("os.environ", environment_with(**variables(database, **settings)))
        monkeypatch.setattr("sys.argv", ["parley_session", *command.split()])
        code = await asyncio.to_thread(_code_of, main)
        said, complained = capsys.readouterr()
        return Ended(code, said, complained)

    return run


def _code_of(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as ending:
        return int(ending.code or 0)


async def _make(postgres_server: str, name: str) -> None:
    connection = await asyncpg.connect(postgres_server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    database = urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(database)
    await migrate(connection, load_migrations(MIGRATIONS))
    await create_role(postgres_server, _runtime_role(database))
    await grant_runtime_rights(connection, _runtime_role(database))
    await seed_assistants(connection, read_assistants(None))
    await connection.close()


def _runtime_role(database: str) -> str:
    return urlsplit(database).path[1:] + "_runtime"
