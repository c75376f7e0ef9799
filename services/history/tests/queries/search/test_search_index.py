"""The search index follows the read model."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient, serve_history
from history_testing.read_model import ReadModelTables, project
from history_testing.search import contents_of
from history_testing.stories import NOON, Story, chat

from parley_core.crypto.sealing import DataKey
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.queries.search import (
    blind_tokens,
    index_batches,
    index_sessions,
    indexer,
)
from parley_history.queries.search.blind_tokens import tokens_of
from parley_history.queries.search.dirty_sessions import DirtySessions
from parley_history.session_service import key_cache
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


@pytest.mark.parametrize(("messages", "size"), [(1, 10**6), (3, 10**6), (200, 1), (200, 300)])
async def test_a_large_backlog_is_indexed_in_batches(
    start: StartHistory,
    project_story: ProjectStory,
    indexed: Any,
    monkeypatch: pytest.MonkeyPatch,
    messages: Any,
    size: Any,
) -> None:
    for module in (index_batches, index_sessions):
        monkeypatch.setattr(module, "MAX_MESSAGES", messages)
        monkeypatch.setattr(module, "MAX_BYTES", size)
    stories = []
    for _ in range(4):
        stories.append(story := Story())
        for n in range(3):
            story.submit(f"needle {n}")
            story.fail() if n == 1 else story.reply("needle and thread")
        story.submit("a last needle")
        await project_story(story)
    history = await start(indexer_enabled=True)
    await indexed(*stories)
    assert len(contents_of(await history.search("needle", limit=100))) == 4 * 6
    assert (await history.metrics())["parley_history_search_indexed_messages_total"] == 4 * 6


async def test_temporary_deleted_and_erased_sessions_are_not_indexed(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any, read_model: ActiveReadModel
) -> None:
    temporary = Story(expires_at=NOON)
    temporary.submit("secret plan")
    deleted, erased, other = chat(1), chat(1), chat(1)
    for story in (temporary, deleted, erased, other):
        await project_story(story)
    await indexed(deleted, erased, other)
    before = deleted.version, erased.version
    deleted.delete()
    erased.erase()
    for story, version in zip((deleted, erased), before, strict=True):
        await project(read_model, story.records[version:])
    await indexed(other)
    found = await searched.search("question")
    assert [result["session_id"] for result in found.json["data"]] == [str(other.id)]
    deleted.restore()
    await project(read_model, deleted.records[-1:])
    await indexed(other, deleted)
    assert contents_of(await searched.search("secret")) == []
    assert len(contents_of(await searched.search("question"))) == 2


async def test_changes_without_a_running_indexer_are_indexed_afterwards(
    tables: ReadModelTables,
    session: FakeSessionService,
    start: StartHistory,
    project_story: ProjectStory,
    indexed: Any,
    read_model: ActiveReadModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stories = [await project_story(chat(2)) for _ in range(3)]
    monkeypatch.setattr(indexer, "SESSIONS_PER_BATCH", 2)
    async with serve_history(tables.reader_dsn, session.url, indexer_enabled=True):
        await indexed(*stories)
    version = stories[0].version
    stories[0].erase()
    stories[1].submit("news")
    for story in stories[:2]:
        await project(read_model, story.records[version:])
    history = await start(indexer_enabled=True)
    await indexed(*stories[1:])
    assert contents_of(await history.search("news")) == ["news"]
    of_erased = "SELECT count(*) FROM search_messages WHERE session_id = $1"
    assert await tables.connection.fetchval(of_erased, stories[0].id) == 0


async def test_another_process_takes_over_from_a_disconnected_leader(
    start: StartHistory, project_story: ProjectStory, indexed: Any, tables: ReadModelTables
) -> None:
    for _ in range(2):
        await start(indexer_enabled=True)
    await indexed(first := await project_story(chat(1)))
    cut = await tables.connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert len(cut) == 1
    await indexed(first, await project_story(chat(1)))


async def test_the_index_stores_no_word_and_is_rebuilt_for_a_new_key(
    start: StartHistory,
    project_story: ProjectStory,
    indexed: Any,
    tables: ReadModelTables,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indexer, "SCAN_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(key_cache, "TTL_SECONDS", 0.1)
    history = await start(indexer_enabled=True)
    await indexed(await project_story(chat(1)))

    async def uses_the_current_key() -> bool:
        rows = await tables.connection.fetch("SELECT * FROM search_messages")
        assert "question" not in str(rows)
        tokens = {token for row in rows for token in row["tokens"]}
        return tokens == {*tokens_of(session.search_keys["default", "ada"], words)}

    words = ["question", "answer", "0"]
    assert await uses_the_current_key()
    # As after a restore without search keys.
    session.search_keys["default", "ada"] = DataKey.generate()
    await eventually(uses_the_current_key)
    assert len(contents_of(await history.search("question"))) == 1


async def test_an_index_of_other_word_rules_is_rebuilt(
    tables: ReadModelTables,
    session: FakeSessionService,
    start: StartHistory,
    project_story: ProjectStory,
    indexed: Any,
) -> None:
    story = Story()
    story.submit("ฉันชอบกินข้าวผัด")
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(blind_tokens, "WORD_RULES_VERSION", 0)
        earlier.setattr(index_sessions, "words_of", str.split)
        async with serve_history(tables.reader_dsn, session.url, indexer_enabled=True) as history:
            await indexed(await project_story(story))
            assert contents_of(await history.search("ข้าวผัด")) == []
    history = await start(indexer_enabled=True)

    async def is_found() -> bool:
        contents: list[str] = contents_of(await history.search("ข้าวผัด"))
        return contents == ["ฉันชอบกินข้าวผัด"]

    await eventually(is_found)


async def test_without_the_session_service_only_removals_are_indexed(
    searched: HistoryClient,
    project_story: ProjectStory,
    indexed: Any,
    session: FakeSessionService,
    read_model: ActiveReadModel,
) -> None:
    await indexed(erased := await project_story(chat(1)))
    session.errors = dict.fromkeys(("keys", "search-keys"), (503, "unavailable"))
    await project_story(story := chat(1))
    assert (await searched.search("question")).error == (503, "session_unavailable", None)
    erased.erase()
    await project(read_model, erased.records[-1:])
    await indexed()
    session.errors.clear()
    await indexed(story)
    assert len(contents_of(await searched.search("question"))) == 1


async def test_the_lag_of_the_index_is_reported(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any
) -> None:
    await indexed(await project_story(chat(1)))
    metrics = await searched.metrics()
    assert metrics["parley_history_search_indexed_messages_total"] == 2
    assert metrics["parley_history_search_index_lag_seconds"] == 0


async def test_the_queue_keeps_new_changes_and_reports_overflow() -> None:
    dirty = DirtySessions(max_queued=2, clock=iter(range(1, 100)).__next__)
    a, b, c = (uuid4() for _ in range(3))
    dirty.changed([a, b])
    assert await dirty.take(1, 0) == [a]
    dirty.changed([a])
    assert dirty.oldest_seconds == 2
    assert [await dirty.take(9, 0), await dirty.take(9, 0)] == [[b, a], []]
    assert dirty.oldest_seconds == 3
    dirty.acknowledge()
    assert dirty.oldest_seconds == 0
    dirty.changed([a, b, c])
    assert dirty.missed
    assert await dirty.take(9, 0) == []


async def test_changes_that_follow_within_the_linger_are_taken_together() -> None:
    dirty, a, b = DirtySessions(), uuid4(), uuid4()
    dirty.changed([a])
    taking = asyncio.create_task(dirty.take(9, 0, linger_seconds=0.1))
    await asyncio.sleep(0.01)
    dirty.changed([b])
    assert await taking == [a, b]


async def test_a_change_that_has_waited_for_the_linger_is_taken_at_once() -> None:
    dirty, changed = DirtySessions(clock=iter((0, 60)).__next__), uuid4()
    dirty.changed([changed])
    async with asyncio.timeout(15):
        assert await dirty.take(9, 0, linger_seconds=60) == [changed]
