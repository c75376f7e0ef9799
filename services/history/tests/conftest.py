"""A read model in a database of each test's own, and the peers that history has."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from history_peers.history import History, serve_history
from history_peers.log import relay_to
from history_peers.read_model import LIMITS, Database, project
from history_peers.rebuilding import Rebuilding
from history_peers.session import Session
from history_peers.stories import Story

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import TopicSpec
from parley_history.projection.active_read_model import ReadModel


@pytest.fixture
async def tables(database: str) -> AsyncIterator[Database]:
    """The tables of an empty read model."""
    connection = await asyncpg.connect(database)
    tables = Database(database, connection)
    await tables.migrate()
    yield tables
    await connection.close()


@pytest.fixture
async def read_model(tables: Database) -> AsyncIterator[ReadModel]:
    read_model = ReadModel(tables.dsn, LIMITS)
    yield read_model
    await read_model.close()


@pytest.fixture
async def log_topic(kafka_bootstrap: str, topic: str) -> str:
    """A topic of this test alone, with 4 partitions."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with Session.serve() as session:
        yield session


@pytest.fixture
async def start(tables: Database, session: Session) -> AsyncIterator[Callable[..., Any]]:
    """Starts a `serve`, with settings of its own where given."""
    async with AsyncExitStack() as running:

        async def start(**settings: Any) -> History:
            addresses = {"history_database": tables.dsn, "session_url": session.url}
            return await running.enter_async_context(serve_history(**addresses | settings))

        yield start


@pytest.fixture
async def history(start: Callable[..., Any]) -> History:
    return await start()


@pytest.fixture
def told(read_model, session):
    """Projects a story, and lets session know it."""

    async def told(story: Story) -> Story:
        session.knows(story)
        await project(read_model, story.records)
        return story

    return told


@pytest.fixture
def settings(kafka_bootstrap, log_topic):
    """A projector's settings, with a group of this test alone."""
    return {"kafka": kafka_bootstrap, "projector_topic": log_topic, "projector_group": log_topic}


@pytest.fixture
async def relay(kafka_bootstrap, log_topic):
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        yield relay


@pytest.fixture
def rebuilding(tables, kafka_bootstrap, log_topic, monkeypatch, capsys):
    return Rebuilding(tables, kafka_bootstrap, log_topic, monkeypatch, capsys)
