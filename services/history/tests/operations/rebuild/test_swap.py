"""A version is swapped in during reads and writes, and every reader sees one version."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from history_testing.log import Relay
from history_testing.processes import project_settings, projecting
from history_testing.read_model import ReadModelTables, folded
from history_testing.rebuild import RebuildRunner
from history_testing.stories import chat, mixed

from parley_history.operations.rebuild import swap
from parley_history.operations.rebuild.swap import activate_between_readers
from parley_testing.eventually import eventually

# One statement reads the session and its messages, as for a page.
READ = """
SELECT sessions.id, sessions.version, count(messages.id) AS messages, max(messages.version) AS last
FROM sessions LEFT JOIN messages ON messages.session_id = sessions.id
GROUP BY sessions.id, sessions.version
"""


@asynccontextmanager
async def reading(dsn: Any, every: Any) -> AsyncIterator[Any]:
    """Read in a loop until the end of the block; call `every` with each row."""
    connection = await asyncpg.connect(dsn)

    async def read() -> None:
        while True:
            for row in await connection.fetch(READ):
                every(row)

    task = asyncio.create_task(read())
    yield
    task.cancel()
    [outcome] = await asyncio.gather(task, return_exceptions=True)
    connection.terminate()
    assert isinstance(outcome, asyncio.CancelledError), outcome


async def test_versions_only_grow_during_swaps_with_concurrent_reads_and_writes(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables, log_settings: dict[str, Any]
) -> None:
    stories, rebuilt_twice = [chat(5) for _ in range(30)], asyncio.Event()
    seen: dict[UUID, int] = {}
    shrunk: list[asyncpg.Record] = []

    def look(row: Any) -> None:
        if row["version"] < seen.get(row["id"], 0) or (row["last"] or 0) > row["version"]:
            shrunk.append(row)
        seen[row["id"]] = row["version"]

    def all_seen() -> bool:
        return seen == {story.id: story.version for story in stories}

    async def write() -> None:
        await relay.publish(mixed(stories, random.Random(1)))
        while not rebuilt_twice.is_set():
            for story in stories:
                story.submit("And then?")
                story.reply("And then.")
            await relay.publish([record for story in stories for record in story.records[-3:]])
            await eventually(all_seen)

    async with (
        projecting(project_settings(tables.runtime_dsn, **log_settings)),
        reading(tables.reader_dsn, look),
    ):
        writing = asyncio.create_task(write())
        for version in (2, 3):
            rebuilt = await rebuild.run("rebuild", "--workers", "1")
            assert rebuilt.code == 0, rebuilt.error
            assert await rebuild.active() == version
        rebuilt_twice.set()
        await writing
    assert shrunk == []
    assert await rebuild.rows(3) == folded(*stories)
    assert await rebuild.schemas() == ["read_model_2", "read_model_3"]


async def test_a_rollback_catches_up_the_previous_version_and_activates_it(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    early, late = [chat(2) for _ in range(9)], [chat(3) for _ in range(9)]
    await relay.publish(mixed(early, random.Random(1)))
    await rebuild.project()
    assert (await rebuild.run("rebuild", "--workers", "1")).code == 0
    before = folded(*early)
    early[0].erase()
    await relay.publish([*mixed(late, random.Random(1)), early[0].records[-1]])
    await rebuild.project()
    assert await rebuild.rows(1) == before
    rollback = await rebuild.run("rebuild", "--rollback")
    assert (rollback.code, rollback.output) == (
        0,
        "version 1 is live again; version 2 is kept\n",
    ), rollback.error
    assert await rebuild.active() == 1
    assert await rebuild.rows(1) == folded(*early, *late) == await rebuild.rows(2)


async def test_a_rollback_without_an_earlier_version_fails(
    rebuild: RebuildRunner, tables: ReadModelTables
) -> None:
    result = await rebuild.run("rebuild", "--rollback")
    assert result.code == 1
    assert result.error.strip() == "There is no earlier version to roll back to."


async def test_a_recreated_topic_is_projected_from_its_beginning(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    stories = [chat(2) for _ in range(9)]
    await relay.publish(mixed(stories, random.Random(1)))
    await rebuild.project()
    await tables.connection.execute("UPDATE positions SET next = next + 10000")
    rebuilt = await rebuild.run("rebuild", "--workers", "1")
    assert rebuilt.code == 0, rebuilt.error
    assert await rebuild.rows(2) == folded(*stories)
    assert sum((await tables.positions()).values()) == sum(story.version for story in stories)


async def test_a_slow_reader_does_not_block_other_readers(
    tables: ReadModelTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "VIEW_LOCK_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(swap, "VIEW_LOCK_ATTEMPTS", 5)
    swapping, slow = await asyncpg.connect(tables.dsn), await asyncpg.connect(tables.dsn)
    async with slow.transaction():
        await slow.fetch(READ)
        activating = asyncio.create_task(activate_between_readers(swapping, 1))
        for _ in range(10):
            async with asyncio.timeout(15):
                await tables.connection.fetch("SELECT count(*) FROM public.sessions")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await activating
        activating = asyncio.create_task(activate_between_readers(swapping, 1))
        await eventually(lambda: waits(tables))
    await activating
    swapping.terminate()
    slow.terminate()


async def waits(tables: ReadModelTables) -> Any:
    return await tables.connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
