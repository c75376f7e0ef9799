"""Requests wait for the version they need, bounded in time and number."""

import asyncio
from typing import Any

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient
from history_testing.read_model import ReadModelTables, project
from history_testing.stories import Story, chat

from parley_history.change_feed import listener
from parley_history.projection.active_read_model import ActiveReadModel
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_a_projected_version_is_returned_at_once(
    start: StartHistory, project_story: ProjectStory, session: FakeSessionService
) -> None:
    history, story = await start(wait_seconds=60), await project_story(chat(1))
    async with asyncio.timeout(15):
        page = await history.read(story.id, min_version=story.version)
    assert page.json["version"] == story.version


@pytest.mark.parametrize("projected_before", [True, False])
async def test_a_notification_wakes_a_request_when_its_version_is_projected(
    start: StartHistory,
    read_model: ActiveReadModel,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
    projected_before: Any,
) -> None:
    without_polling(monkeypatch)
    history = await start(wait_seconds=30)
    session.add(story := chat(1))
    first = 2 if projected_before else 0
    if first:
        await project(read_model, story.records[:first])
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: waiters(history) == 1)
    for record in story.records[first:]:
        await project(read_model, [record])
    async with asyncio.timeout(15):
        page = await reading
    assert page.json["version"] == story.version
    assert page.contents == ["answer 0", "question 0"]
    assert waiters(history) == 0


async def test_a_page_that_is_behind_is_marked_where_the_caller_allows_it(
    start: StartHistory, read_model: ActiveReadModel, session: FakeSessionService
) -> None:
    history = await start(wait_seconds=0.05)
    session.add(story := chat(1))
    await project(read_model, story.records[:2])
    page = await history.read(story.id, min_version=story.version, allow_behind="true")
    assert (page.json["version"], page.json["behind"]) == (2, True)
    assert "etag" not in page.headers
    await project(read_model, story.records[2:])
    page = await history.read(story.id, min_version=story.version, allow_behind="true")
    assert page.json["version"] == story.version
    assert "behind" not in page.json


async def test_without_notifications_requests_poll(
    start: StartHistory,
    read_model: ActiveReadModel,
    session: FakeSessionService,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reconnect_after(monkeypatch, 60)
    history = await start(wait_seconds=30)
    await eventually(lambda: disconnect_listener(tables))
    session.add(story := chat(1))
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: waiters(history) == 1)
    await project(read_model, story.records)
    async with asyncio.timeout(15):
        assert (await reading).json["version"] == story.version


async def test_a_disconnected_listener_reconnects(
    start: StartHistory,
    read_model: ActiveReadModel,
    session: FakeSessionService,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_polling(monkeypatch)
    reconnect_after(monkeypatch, 0.01)
    history = await start(wait_seconds=30)
    await eventually(lambda: disconnect_listener(tables))
    await eventually(lambda: listeners(tables))
    session.add(story := chat(1))
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: waiters(history) == 1)
    await project(read_model, story.records)
    async with asyncio.timeout(15):
        assert (await reading).json["version"] == story.version


async def test_projection_behind_names_the_projected_version(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    behind = await history.read(story.id, min_version=9)
    assert behind.error == (503, "projection_behind", None)
    assert behind.headers["retry-after"] == "1"
    assert "up to version 4; version 9" in behind.json["error"]["message"]
    session.add(new := Story())
    behind = await history.read(new.id, min_version=1)
    assert "up to version 0; version 1" in behind.json["error"]["message"]


async def test_the_number_of_waiting_requests_is_limited(
    start: StartHistory, project_story: ProjectStory, session: FakeSessionService
) -> None:
    history, story = await start(wait_seconds=1, max_waiters=1), await project_story(chat(1))
    waiting = asyncio.create_task(history.read(story.id, min_version=9))
    await eventually(lambda: waiters(history) == 1)
    busy = await history.read(story.id, min_version=9)
    assert busy.error == (503, "history_busy", None)
    assert (await history.read(story.id)).status == 200
    assert (await waiting).error == (503, "projection_behind", None)
    assert waiters(history) == 0


async def test_a_cursor_added_by_the_awaited_version_is_valid(
    start: StartHistory, read_model: ActiveReadModel, session: FakeSessionService
) -> None:
    history, story = await start(wait_seconds=30), chat(2)
    session.add(story)
    await project(read_model, story.records[:2])
    newest = story.data(-1).reply_id
    reading = asyncio.create_task(history.read(story.id, after=newest, min_version=story.version))
    await eventually(lambda: waiters(history) == 1)
    await project(read_model, story.records[2:])
    assert len((await reading).contents) == 3


def waiters(history: HistoryClient) -> int:
    return history.change_feed.waiters


def without_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "POLL_INTERVAL_SECONDS", 30)


def reconnect_after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(listener, "RECONNECT_INITIAL_SECONDS", seconds)
    monkeypatch.setattr(listener, "RECONNECT_MAX_SECONDS", seconds)


async def listeners(tables: ReadModelTables) -> Any:
    return await tables.connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley-history-listen'"
        " AND datname = current_database() AND query LIKE 'LISTEN%'"
    )


async def disconnect_listener(tables: ReadModelTables) -> Any:
    return await tables.connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'parley-history-listen' AND datname = current_database()"
        " AND query LIKE 'LISTEN%'"
    )
