"""A version is swapped in while people read and write, and nobody sees half of each."""

import asyncio
import random
from contextlib import asynccontextmanager

import asyncpg
import pytest
from history_peers.history import authorized
from history_peers.processes import projecting
from history_peers.read_model import folded
from history_peers.stories import ADA, chat, mixed

from parley_history.operations.rebuild.settings import RebuildSettings
from parley_history.operations.rebuild.swap import activate_between_readers
from parley_testing.eventually import eventually

# As a page is read: the session and its messages in one statement.
READ = """
SELECT sessions.id, sessions.version, count(messages.id) AS messages, max(messages.version) AS last
FROM sessions LEFT JOIN messages ON messages.session_id = sessions.id
GROUP BY sessions.id, sessions.version
"""


@asynccontextmanager
async def reading(dsn, every):
    """Reads again and again until the end of the block; `every` is told each session's row."""
    connection = await asyncpg.connect(dsn)

    async def read():
        while True:
            for row in await connection.fetch(READ):
                every(row)

    task = asyncio.create_task(read())
    yield
    task.cancel()
    [outcome] = await asyncio.gather(task, return_exceptions=True)
    connection.terminate()
    assert isinstance(outcome, asyncio.CancelledError), outcome


async def test_while_projectors_write_and_people_read_versions_only_grow(
    rebuilding, relay, tables, kafka_bootstrap, log_topic
):
    stories, rebuilt_twice = [chat(5) for _ in range(30)], asyncio.Event()
    seen, shrunk = {}, []

    def look(row):
        if row["version"] < seen.get(row["id"], 0) or (row["last"] or 0) > row["version"]:
            shrunk.append(row)
        seen[row["id"]] = row["version"]

    def all_seen():
        return seen == {story.id: story.version for story in stories}

    async def write():
        await relay.publish(mixed(stories, random.Random(1)))
        while not rebuilt_twice.is_set():
            for story in stories:
                story.says("And then?")
                story.hears("And then.")
            await relay.publish([record for story in stories for record in story.records[-3:]])
            await eventually(all_seen, within=30)

    settings = {"kafka": kafka_bootstrap, "projector_topic": log_topic}
    async with (
        projecting(tables.dsn, projector_group=log_topic, projector_held_events=5, **settings),
        reading(tables.dsn, look),
    ):
        writing = asyncio.create_task(write())
        for version in (2, 3):
            rebuilt = await rebuilding.run("rebuild", "--workers", "1")
            assert rebuilt.code == 0, rebuilt.error
            assert await rebuilding.active() == version
        rebuilt_twice.set()
        await writing
    assert shrunk == []
    assert await rebuilding.rows(3) == folded(*stories)
    assert await rebuilding.schemas() == ["read_model_2", "read_model_3"]


async def test_the_version_before_is_brought_up_and_made_live_again(rebuilding, relay, tables):
    early, late = [chat(2) for _ in range(9)], [chat(3) for _ in range(9)]
    await relay.publish(mixed(early, random.Random(1)))
    await rebuilding.project()
    assert (await rebuilding.run("rebuild", "--workers", "1")).code == 0
    before = folded(*early)
    early[0].is_erased()
    await relay.publish([*mixed(late, random.Random(1)), early[0].records[-1]])
    await rebuilding.project()
    assert await rebuilding.rows(1) == before
    back = await rebuilding.run("rebuild", "--rollback")
    assert (back.code, back.said) == (0, "version 1 is live again; version 2 is kept\n"), back.error
    assert await rebuilding.active() == 1
    assert await rebuilding.rows(1) == folded(*early, *late) == await rebuilding.rows(2)


async def test_without_a_version_before_there_is_no_way_back(rebuilding, tables):
    refused = await rebuilding.run("rebuild", "--rollback")
    assert refused.code == 1
    assert refused.error.strip() == "There is no earlier version to go back to."


async def test_a_topic_that_was_made_again_is_followed_from_its_beginning(
    rebuilding, relay, tables
):
    stories = [chat(2) for _ in range(9)]
    await relay.publish(mixed(stories, random.Random(1)))
    await rebuilding.project()
    await tables.connection.execute("UPDATE positions SET next = next + 10000")
    rebuilt = await rebuilding.run("rebuild", "--workers", "1")
    assert rebuilt.code == 0, rebuilt.error
    assert await rebuilding.rows(2) == folded(*stories)
    assert sum((await tables.positions()).values()) == sum(story.version for story in stories)


async def test_who_keeps_pages_of_sessions_is_told_of_a_swap_and_of_the_way_back(
    rebuilding, history
):
    for how in (["--workers", "1"], ["--rollback"]):
        url, headers = f"{history.url}/movements", authorized(ADA)
        async with history.http.get(url, headers=headers) as following, asyncio.timeout(20):
            while await following.content.readline() != b'{"listening":true}\n':
                pass
            swapped = await rebuilding.run("rebuild", *how)
            assert swapped.code == 0, swapped.error
            # It ends: who read it keeps nothing from before.
            assert {line async for line in following.content} <= {b"\n"}


async def test_a_reader_that_takes_long_holds_up_no_other_reader(tables):
    settings = RebuildSettings(
        history_database=tables.dsn,
        kafka="127.0.0.1:9",
        rebuild_views_seconds=0.05,
        rebuild_views_attempts=5,
    )
    swapping, slow = await asyncpg.connect(tables.dsn), await asyncpg.connect(tables.dsn)
    async with slow.transaction():
        await slow.fetch(READ)
        activating = asyncio.create_task(activate_between_readers(swapping, 1, settings))
        for _ in range(10):
            async with asyncio.timeout(1):
                await tables.connection.fetch("SELECT count(*) FROM public.sessions")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await activating
        activating = asyncio.create_task(activate_between_readers(swapping, 1, settings))
        await eventually(lambda: waits(tables))
    await activating
    swapping.terminate()
    slow.terminate()


async def waits(tables):
    return await tables.connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
