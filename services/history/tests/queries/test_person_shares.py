"""One person has a share of the exports, searches and waiting reads of a process."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient
from history_testing.stories import ADA, EVE, chat

from parley_history.queries.search.match_repository import MatchRepository
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

SHARE = {"max_person_share": 0.5, "wait_seconds": 30}


async def test_exports_beyond_a_persons_share_are_refused_to_that_person_only(
    start: StartHistory, session: FakeSessionService
) -> None:
    history = await start(max_exports=4, **SHARE)
    session.add(story := chat(1))
    path = f"/sessions/{story.id}/export"
    exporting = [asyncio.create_task(history.download(path, ADA)) for _ in range(2)]
    await eventually(lambda: history.change_feed.waiters == 2)
    for refused in (path, "/export"):
        response = await history.download(refused, ADA)
        assert response.error == (429, "too_many_exports", None)
        assert response.headers["retry-after"] == "1"
    assert (await history.download("/export", EVE)).status == 200
    await cancelled(exporting)


async def test_reads_that_wait_beyond_a_persons_share_are_refused_to_that_person_only(
    start: StartHistory, session: FakeSessionService, project_story: ProjectStory
) -> None:
    history = await start(max_waiters=4, **SHARE)
    ours, theirs = await project_story(chat(1)), await project_story(chat(1, EVE))
    waiting = [waiting_read(history, ours.id, ADA) for _ in range(2)]
    await eventually(lambda: history.change_feed.waiters == 2)
    refused = await history.read(ours.id, min_version=9)
    assert refused.error == (429, "too_many_waiting_reads", None)
    assert refused.headers["retry-after"] == "1"
    behind = await history.read(ours.id, min_version=9, allow_behind="true")
    assert (behind.status, behind.json["behind"]) == (200, True)
    assert (await history.read(ours.id)).status == 200
    waiting.append(waiting_read(history, theirs.id, EVE))
    await eventually(lambda: history.change_feed.waiters == 3)
    session.versions = {ours.id: 9}
    assert (await history.list()).error == (503, "projection_behind", None)
    await cancelled(waiting)


async def test_searches_beyond_a_persons_share_are_refused_to_that_person_only(
    start: StartHistory, session: FakeSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.add(chat(1))
    session.add(chat(1, EVE))
    running, released = 0, asyncio.Event()

    async def after(*_: Any) -> Any:
        nonlocal running
        running += 1
        await released.wait()
        return []

    monkeypatch.setattr(MatchRepository, "after", after)
    history = await start(max_searches=4, **SHARE)
    searching = [asyncio.create_task(history.search("word", ADA)) for _ in range(2)]
    await eventually(lambda: running == 2)
    refused = await history.search("word", ADA)
    assert refused.error == (429, "too_many_searches", None)
    assert refused.headers["retry-after"] == "1"
    searching.append(asyncio.create_task(history.search("word", EVE)))
    await eventually(lambda: running == 3)
    released.set()
    assert [each.status for each in await asyncio.gather(*searching)] == [200] * 3
    assert (await history.search("word", ADA)).status == 200


def waiting_read(history: HistoryClient, session_id: UUID, person: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(history.read(session_id, person, min_version=9))


async def cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
