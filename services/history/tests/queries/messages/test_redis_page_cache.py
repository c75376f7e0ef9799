"""The Redis page cache never serves a stale page or another person's, and is optional."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient
from history_testing.read_model import project
from history_testing.session_fake import FakeSessionService
from history_testing.stories import EVE, Story, chat
from redis.asyncio import Redis

from parley_cli.engines import RedisServer
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.queries.messages import redis_page_cache
from parley_testing.eventually import eventually


@pytest.fixture(autouse=True)
def long_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache hits must not depend on the speed of the machine."""
    monkeypatch.setattr(redis_page_cache, "TIMEOUT_SECONDS", 5)


@pytest.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A Redis server of this test alone, which may stop it."""
    from parley_cli.engines import RedisServer, free_port

    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Any]:
    async with Redis.from_url(server.url) as redis:
        yield redis


async def lookups(history: HistoryClient, result: Any) -> Any:
    name = f'parley_history_page_cache_requests_total{{result="{result}"}}'
    return (await history.metrics())[name]


async def test_a_page_read_by_one_process_is_a_cache_hit_in_another(
    start: StartHistory, project_story: ProjectStory, server: RedisServer, redis: Redis
) -> None:
    first, second = (
        await start(redis_url=server.url),
        await start(redis_url=server.url),
    )
    story = chat(2)
    story.submit("another beginning", after=None)
    await project_story(story)
    page = await first.read(story.id, as_of=story.version)
    await eventually(redis.dbsize)
    again = await second.read(story.id, as_of=story.version, min_version=2)
    assert (again.body, again.headers["etag"]) == (page.body, page.headers["etag"])
    assert await lookups(second, "hit") == 1
    everything = (await second.read(story.id, branches="all")).json["data"]
    assert len(everything) == 5
    for query in (
        *({"branches": "all", "limit": 2}, {"branches": "all", "order": "asc"}, {"as_of": 4}),
        *({"branches": "all", "after": everything[0]["id"]}, {"leaf": everything[2]["id"]}),
    ):
        assert (await second.read(story.id, **query)).json["data"] != page.json["data"], query
    assert await lookups(second, "hit") == 1


async def test_a_cached_page_is_served_only_to_the_owner_of_an_existing_session(
    start: StartHistory,
    project_story: ProjectStory,
    server: RedisServer,
    redis: Redis,
    read_model: ActiveReadModel,
    session: FakeSessionService,
) -> None:
    history = await start(redis_url=server.url)
    story = await project_story(chat(1))
    for _ in range(2):
        await history.read(story.id)
        await eventually(redis.dbsize)
    assert await lookups(history, "hit") == 1
    assert (await history.read(story.id, EVE)).error == (404, "session_not_found", None)
    story.erase()
    session.stories.clear()
    await project(read_model, story.records[-1:])
    assert (await history.read(story.id)).error == (404, "session_not_found", None)
    assert await lookups(history, "hit") == 1


async def test_pages_in_redis_are_encrypted_and_expire(
    start: StartHistory, project_story: ProjectStory, server: RedisServer, redis: Redis
) -> None:
    history, story = await start(redis_url=server.url), await project_story(chat(2))
    await history.read(story.id)
    await eventually(redis.dbsize)
    [name] = await redis.keys()
    stored: Any = await redis.get(name)
    for word in (b"question", b"answer", story.person.user.encode(), b"message"):
        assert word not in stored + name
    assert 0 < await redis.ttl(name) <= 300


async def test_a_tampered_page_in_redis_is_not_served(
    start: StartHistory,
    project_story: ProjectStory,
    server: RedisServer,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    history = await start(redis_url=server.url)
    one, other = await project_story(chat(1)), await project_story(chat(2))
    pages = [(await history.read(story.id)).body for story in (one, other)]
    await eventually(lambda: _has_pages(redis, 2))
    first, second = await redis.keys()
    values: Any = await redis.mget(first, second)
    for swapped in (values[::-1], [b"", b"\x01short"], [values[0][:-1], values[1] + b"x"]):
        stored: Any = dict(zip((first, second), swapped, strict=True))
        await redis.mset(stored)
        assert [(await history.read(story.id)).body for story in (one, other)] == pages
        # The page from the database replaces the damaged one.
        await eventually(lambda: _all_hit(history, (one, other)))
    assert "cannot be decrypted" in caplog.text


async def test_a_flushed_hanging_or_stopped_redis_causes_no_wrong_or_missing_page(
    start: StartHistory,
    project_story: ProjectStory,
    server: RedisServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_page_cache, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(redis_page_cache, "CIRCUIT_OPEN_SECONDS", 0.1)
    history = await start(redis_url=server.url)
    story = await project_story(chat(1))
    page = (await history.read(story.id)).body
    await eventually(redis.dbsize)
    await redis.flushall()
    assert (await history.read(story.id)).body == page
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            async with asyncio.timeout(2):
                assert (await history.read(story.id)).body == page
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert await lookups(history, "error") >= 1
    before = await lookups(history, "hit")

    async def hits_again() -> Any:
        assert (await history.read(story.id)).body == page
        return await lookups(history, "hit") > before

    await eventually(hits_again)
    await server.stop()
    assert (await history.read(story.id)).body == page


async def test_no_reader_sees_less_than_was_projected_at_its_request(
    start: StartHistory,
    session: FakeSessionService,
    server: RedisServer,
    redis: Redis,
    read_model: ActiveReadModel,
) -> None:
    """Looks for stale pages with writers, readers of two processes and a flushed Redis."""
    readers = [await start(redis_url=server.url) for _ in range(2)]
    stories = [chat(8) for _ in range(2)]
    session.add(*stories)
    projected = dict.fromkeys(stories, 0)
    draw = random.Random(5)
    queries: list[dict[str, Any]] = [
        {},
        {"order": "asc"},
        {"limit": 3},
        {"branches": "all", "limit": 100},
    ]
    found = 0

    async def write() -> None:
        for step in range(6):
            for story in stories:
                have = projected[story]
                await project(read_model, story.records[have : have + 4])
                projected[story] = min(have + 4, story.version)
            if step == 2:
                await redis.flushall()

    async def read(history: HistoryClient) -> None:
        while not writing.done():
            story, query = draw.choice(stories), draw.choice(queries)
            min_version = projected[story]
            page = await history.read(story.id, **query)
            version = page.json["version"]
            assert version >= min_version, (
                "the page is older than the projection at the time of the request"
            )
            expected = expected_of(story, version, query)
            assert [message["version"] for message in page.json["data"]] == expected

    writing = asyncio.create_task(write())
    await asyncio.gather(writing, *(read(history) for history in readers * 2))
    found = sum([await lookups(history, "hit") for history in readers])
    assert found > 0, "the cache was never hit, so the test proves nothing"


def expected_of(story: Story, version: int, query: dict[str, Any]) -> Any:
    """Return the versions of the messages that the session shows at the version."""
    versions = [e.sequence for e in story.events[:version] if hasattr(e.data, "content")]
    versions += [e.sequence for e in story.events[:version] if hasattr(e.data, "partial_content")]
    versions.sort(reverse=query.get("order") != "asc")
    return versions[: query.get("limit", 20)]


async def _has_pages(redis: Redis, count: Any) -> Any:
    return await redis.dbsize() == count


async def _all_hit(history: HistoryClient, stories: Sequence[Story]) -> Any:
    before = await lookups(history, "hit")
    for story in stories:
        await history.read(story.id)
    return await lookups(history, "hit") == before + len(stories)
