"""A migrated database for each test, and session on it over real HTTP."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from session_peers.service import Service, serve_session

from parley_core.migrations import migrate, migrations_in
from parley_core.pool import Pool, open_pool
from parley_session.migrations import MIGRATIONS

Start = Callable[..., Awaitable[Service]]


@pytest.fixture
async def store_database(database: str) -> str:
    """The DSN of a database with the event store's tables, empty."""
    connection = await asyncpg.connect(database)
    try:
        await migrate(connection, migrations_in(MIGRATIONS))
    finally:
        await connection.close()
    return database


@pytest.fixture
async def pool(store_database: str) -> AsyncIterator[Pool]:
    """Connections of the test itself."""
    async with open_pool(store_database, connections=16, seconds=10, name="test") as pool:
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
