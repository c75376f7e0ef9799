"""An empty event store for each test, and session on it over real HTTP."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from session_peers.process import Ended, TurnInput, variables
from session_peers.service import Service, serve_session

from parley_core.log import Brokers, ensure_topic
from parley_core.storage.migrations import load_migrations, migrate
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_events.topics import TopicSpec
from parley_session.__main__ import main
from parley_session.application.assistants.definitions_file import read_assistants
from parley_session.application.assistants.seeding import seed_assistants
from parley_session.storage.migrations import MIGRATIONS
from parley_testing.processes import environment_with

Start = Callable[..., Awaitable[Service]]


@pytest.fixture(scope="session")
def migrated_database(postgres_server: str, run_beside_tests: Callable[..., None]) -> str:
    """One for all tests: to make one takes longer than most of them."""
    name = f"test_{uuid4().hex}"
    run_beside_tests(_make(postgres_server, name))
    return urlsplit(postgres_server)._replace(path=f"/{name}").geturl()


@pytest.fixture
async def store_database(migrated_database: str) -> str:
    """The DSN of a database with the event store's tables, empty."""
    connection = await asyncpg.connect(migrated_database)
    # A process that was killed may have left a statement that is still running.
    await connection.execute(
        """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
        TRUNCATE sessions, events, outbox, turns, runners, remembered_requests, search_keys;
        TRUNCATE assistant_outbox;
        DELETE FROM assistant_events USING assistants
            WHERE assistants.stream_id = assistant_events.stream_id AND tenant IS NOT NULL;
        DELETE FROM assistants WHERE tenant IS NOT NULL;
        UPDATE sweeper SET last_tick = now(), quiet_until = now()
        """
    )
    await connection.close()
    return migrated_database


@pytest.fixture
async def pool(store_database: str) -> AsyncIterator[Pool]:
    """Connections of the test itself."""
    async with open_pool(
        store_database, max_connections=16, timeout_seconds=10, application_name="test"
    ) as pool:
        yield pool


@pytest.fixture
async def serve(store_database: str) -> AsyncIterator[Start]:
    """Starts session on the test's database, with settings of its own where given."""
    async with AsyncExitStack() as running:

        async def serve(**settings: Any) -> Service:
            address = settings.pop("database", store_database)
            return await running.enter_async_context(serve_session(address, **settings))

        yield serve


@pytest.fixture
async def session(serve: Start) -> Service:
    return await serve()


@pytest.fixture
async def log_topic(kafka_bootstrap: str, topic: str) -> str:
    """A topic of this test alone, which exists."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> TurnInput:
    """Runs a command that ends at once, in this process: another one takes a second to start."""

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
    await seed_assistants(connection, read_assistants(None))
    await connection.close()
