"""Fixtures of history's tests: a read model in a database of its own, and its neighbours."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient, serve_history
from history_testing.log import Relay, relay_to
from history_testing.read_model import MAX_DEFERRED, ReadModelTables, project
from history_testing.rebuild import RebuildRunner
from history_testing.shared_database import SharedDatabase
from history_testing.stories import Story

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import TopicSpec
from parley_history.change_feed import listener
from parley_history.projection import projector
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.queries.search import indexer
from parley_testing.session_service import FakeSessionService


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll and retry more often than in production."""
    monkeypatch.setattr(listener, "POLL_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(projector, "READ_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(projector, "RETRY_INITIAL_SECONDS", 0.02)
    monkeypatch.setattr(projector, "RETRY_MAX_SECONDS", 0.1)
    monkeypatch.setattr(indexer, "RETRY_INITIAL_SECONDS", 0.02)
    monkeypatch.setattr(indexer, "RETRY_MAX_SECONDS", 0.02)
    monkeypatch.setattr(indexer, "ELECTION_INTERVAL_SECONDS", 0.02)


@pytest.fixture(scope="session")
def shared_database(
    postgres_server: str, run_beside_tests: Callable[..., None]
) -> Iterator[SharedDatabase]:
    shared_database = SharedDatabase(postgres_server)
    yield shared_database
    run_beside_tests(shared_database.drop())


@pytest.fixture
async def tables(shared_database: SharedDatabase) -> AsyncIterator[ReadModelTables]:
    """The tables of an empty read model."""
    await shared_database.clear()
    connection = await asyncpg.connect(shared_database.dsn)
    tables = ReadModelTables(shared_database.dsn, shared_database.roles, connection)
    await tables.enter(1)
    yield tables
    await connection.close()


@pytest.fixture
async def read_model(tables: ReadModelTables) -> AsyncIterator[ActiveReadModel]:
    read_model = ActiveReadModel(tables.settings, MAX_DEFERRED)
    yield read_model
    await read_model.close()


@pytest.fixture
async def log_topic(kafka_bootstrap: str, topic: str) -> str:
    """A topic of this test alone, with 4 partitions."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic


@pytest.fixture
async def session() -> AsyncIterator[FakeSessionService]:
    async with FakeSessionService.serve() as session:
        yield session


@pytest.fixture
async def start(
    tables: ReadModelTables, session: FakeSessionService
) -> AsyncIterator[StartHistory]:
    """Starts a `serve` application; keyword arguments are those of `serve_history`."""
    async with AsyncExitStack() as running:

        async def start(**settings: Any) -> HistoryClient:
            addresses = {"dsn": tables.reader_dsn, "session_url": session.url}
            return await running.enter_async_context(serve_history(**addresses | settings))

        yield start


@pytest.fixture
async def history(start: StartHistory) -> HistoryClient:
    return await start()


@pytest.fixture
def project_story(read_model: ActiveReadModel, session: FakeSessionService) -> ProjectStory:
    """Projects a story and adds it to the session service."""

    async def project_story(story: Story) -> Story:
        session.add(story)
        await project(read_model, story.records)
        return story

    return project_story


@pytest.fixture
def log_settings(kafka_bootstrap: str, log_topic: str) -> dict[str, Any]:
    """Arguments of `project_settings` for the test's topic, with a group of this test alone."""
    return {"bootstrap_servers": kafka_bootstrap, "topic": log_topic, "group": log_topic}


@pytest.fixture
async def relay(kafka_bootstrap: str, log_topic: str) -> AsyncIterator[Relay]:
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        yield relay


@pytest.fixture
def rebuild(
    tables: ReadModelTables,
    kafka_bootstrap: str,
    log_topic: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> RebuildRunner:
    return RebuildRunner(tables, kafka_bootstrap, log_topic, monkeypatch, capsys)
