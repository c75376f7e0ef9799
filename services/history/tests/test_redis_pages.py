"""Pages that were read before come from Redis: never an older one, nor another's, nor needed."""

import asyncio
import os
import random
import signal

import pytest
from history_peers.read_model import project
from history_peers.stories import EVE, chat
from redis.asyncio import Redis

from parley_testing.eventually import eventually

# Tests that count what Redis answered must not depend on a machine that is quick.
PATIENT = {"history_redis_seconds": 5}


@pytest.fixture
async def server(tmp_path_factory):
    """A Redis of this test alone, which may stop it."""
    from parley_cli.engines import RedisServer, free_port

    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(server):
    async with Redis.from_url(server.url) as redis:
        yield redis


async def asked_of(history, outcome):
    return (await history.numbers())[f'parley_history_redis_total{{outcome="{outcome}"}}']


async def test_what_one_process_read_another_answers_from_redis(start, told, server, redis):
    first, second = (
        await start(redis=server.url, **PATIENT),
        await start(redis=server.url, **PATIENT),
    )
    story = chat(2)
    story.says("another beginning", after=None)
    await told(story)
    page = await first.read(story.id, as_of=story.version)
    await eventually(redis.dbsize)
    again = await second.read(story.id, as_of=story.version, min_version=2)
    assert (again.body, again.headers["etag"]) == (page.body, page.headers["etag"])
    assert await asked_of(second, "found") == 1
    everything = (await second.read(story.id, branches="all")).json["data"]
    assert len(everything) == 5
    for query in (
        *({"branches": "all", "limit": 2}, {"branches": "all", "order": "asc"}, {"as_of": 4}),
        *({"branches": "all", "after": everything[0]["id"]}, {"leaf": everything[2]["id"]}),
    ):
        assert (await second.read(story.id, **query)).json["data"] != page.json["data"], query
    assert await asked_of(second, "found") == 1


async def test_a_page_in_redis_is_only_for_whose_session_it_is_and_ends_with_it(
    start, told, server, redis, read_model, session
):
    history = await start(redis=server.url, **PATIENT)
    story = await told(chat(1))
    for _ in range(2):
        await history.read(story.id)
        await eventually(redis.dbsize)
    assert await asked_of(history, "found") == 1
    assert (await history.read(story.id, EVE)).error == (404, "session_not_found", None)
    story.is_erased()
    session.stories.clear()
    await project(read_model, story.records[-1:])
    assert (await history.read(story.id)).error == (404, "session_not_found", None)
    assert await asked_of(history, "found") == 1


async def test_redis_holds_no_word_and_nothing_for_long(start, told, server, redis):
    history, story = await start(redis=server.url, **PATIENT), await told(chat(2))
    await history.read(story.id)
    await eventually(redis.dbsize)
    [name] = await redis.keys()
    held = name + await redis.get(name)
    for word in (b"question", b"answer", story.person.user.encode(), b"message"):
        assert word not in held
    assert 0 < await redis.ttl(name) <= 300


async def test_what_was_changed_in_redis_is_not_believed(start, told, server, redis, caplog):
    history = await start(redis=server.url, **PATIENT)
    one, other = await told(chat(1)), await told(chat(2))
    pages = [(await history.read(story.id)).body for story in (one, other)]
    await eventually(lambda: _held(redis, 2))
    first, second = await redis.keys()
    values = await redis.mget(first, second)
    for swapped in (values[::-1], [b"", b"\x01short"], [values[0][:-1], values[1] + b"x"]):
        await redis.mset(dict(zip((first, second), swapped, strict=True)))
        assert [(await history.read(story.id)).body for story in (one, other)] == pages
        # What was read instead is kept in its place.
        await eventually(lambda: _all_found(history, (one, other)))
    assert "not as it was put there" in caplog.text


async def test_redis_may_be_flushed_hang_and_end_without_a_wrong_or_missing_answer(
    start, told, server, redis
):
    quick = {"history_redis_seconds": 0.3, "history_redis_pause_seconds": 0.1}
    history = await start(redis=server.url, **quick)
    story = await told(chat(1))
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
    assert await asked_of(history, "failed") >= 1
    before = await asked_of(history, "found")

    async def found_again():
        assert (await history.read(story.id)).body == page
        return await asked_of(history, "found") > before

    await eventually(found_again)
    await server.stop()
    assert (await history.read(story.id)).body == page


async def test_no_reader_ever_sees_less_than_was_projected_when_it_asked(
    start, session, server, redis, read_model
):
    """Hunts stale pages: writers, readers of two processes, and a Redis that is flushed."""
    readers = [await start(redis=server.url, **PATIENT) for _ in range(2)]
    stories = [chat(8) for _ in range(2)]
    session.knows(*stories)
    projected = dict.fromkeys(stories, 0)
    draw = random.Random(5)
    queries = [{}, {"order": "asc"}, {"limit": 3}, {"branches": "all", "limit": 100}]
    found = 0

    async def write():
        for step in range(6):
            for story in stories:
                have = projected[story]
                await project(read_model, story.records[have : have + 4])
                projected[story] = min(have + 4, story.version)
            if step == 2:
                await redis.flushall()

    async def read(history):
        while not writing.done():
            story, query = draw.choice(stories), draw.choice(queries)
            least = projected[story]
            page = await history.read(story.id, **query)
            version = page.json["version"]
            assert version >= least, "a page older than what was projected before it was asked for"
            expected = expected_of(story, version, query)
            assert [message["version"] for message in page.json["data"]] == expected

    writing = asyncio.create_task(write())
    await asyncio.gather(writing, *(read(history) for history in readers * 2))
    found = sum([await asked_of(history, "found") for history in readers])
    assert found > 0, "nothing came from Redis: this hunted nothing"


def expected_of(story, version, query):
    """The versions of the messages that a session at a version shows."""
    brought = [e.sequence for e in story.events[:version] if hasattr(e.data, "content")]
    brought += [e.sequence for e in story.events[:version] if hasattr(e.data, "partial_content")]
    brought.sort(reverse=query.get("order") != "asc")
    return brought[: query.get("limit", 20)]


async def _held(redis, count):
    return await redis.dbsize() == count


async def _all_found(history, stories):
    before = await asked_of(history, "found")
    for story in stories:
        await history.read(story.id)
    return await asked_of(history, "found") == before + len(stories)
