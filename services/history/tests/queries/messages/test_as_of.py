"""Sessions as of a version or a time, and sessions that are deleted or erased."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient
from history_testing.read_model import project
from history_testing.stories import NOON, Story, chat, full

from parley_events.values import Usage
from parley_history.projection.active_read_model import ActiveReadModel
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_a_session_is_read_as_it_was_at_a_version_or_an_instant(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = await project_story(chat(2))
    everything = ["answer 1", "question 1", "answer 0", "question 0"]
    for version, newest in ((1, 4), (2, 3), (3, 3), (4, 2), (5, 1), (6, 1), (7, 0)):
        event = story.events[version - 1]
        for as_of in (version, event.time.isoformat().replace("+00:00", "Z")):
            page = await history.read(story.id, as_of=as_of)
            assert page.contents == everything[newest:], as_of
            assert page.json["version"] == story.version
    oldest = await history.read(story.id, as_of=NOON.isoformat().replace("+00:00", "-00:30"))
    assert len(oldest.contents) == 4
    before = await history.read(story.id, as_of="2026-11-24t12:00:00+00:30")
    assert before.contents == []


async def test_an_imported_message_shows_its_original_time_but_exists_since_its_import(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = Story()
    story.import_message("Be kind.", "system", original_time=NOON - timedelta(days=9))
    await project_story(story)
    [message] = (await history.read(story.id)).json["data"]
    assert (message["role"], message["status"]) == ("system", "completed")
    assert message["created_at"] == "2026-11-15T12:00:00.000000Z"
    assert (await history.read(story.id, as_of="2026-11-20T00:00:00Z")).contents == []


async def test_an_imported_reply_shows_its_partial_text_and_its_fields(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = Story()
    usage = Usage(prompt_tokens=3, completion_tokens=4, estimated=True)
    fields: dict[str, Any] = {"model": "demo", "error_code": "upstream_broken", "usage": usage}
    story.import_message("half an", "assistant", status="failed", **fields)
    story.import_message("half", "assistant", status="cancelled", model="demo")
    story.import_message("whole", "assistant", finish_reason="length")
    await project_story(story)
    whole, cancelled, failed = (await history.read(story.id)).json["data"]
    assert (failed["status"], failed["content"], failed["model"]) == ("failed", "half an", "demo")
    assert failed["error_code"] == "upstream_broken"
    assert failed["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "estimated": True,
    }
    assert (cancelled["status"], cancelled["content"]) == ("cancelled", "half")
    assert (whole["status"], whole["finish_reason"]) == ("completed", "length")
    usage_report = await history.call("/usage")
    assert usage_report.json["total"]["total_tokens"] == 0


async def test_the_etag_of_a_page_is_its_version(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    assert (await history.read(story.id, limit=1)).headers["etag"] == 'W/"4"'
    session.add(new := Story())
    assert (await history.read(new.id)).headers["etag"] == 'W/"0"'


async def test_a_version_beyond_the_session_is_rejected(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    for as_of in (5, 2**31 - 1):
        response = await history.read(story.id, as_of=as_of)
        assert response.error == (400, "invalid_request", "as_of")


async def test_a_version_that_is_not_projected_yet_is_awaited(
    start: StartHistory, read_model: ActiveReadModel, session: FakeSessionService
) -> None:
    history = await start(wait_seconds=30)
    session.add(story := chat(1))
    await project(read_model, story.records[:2])
    reading = asyncio.create_task(history.read(story.id, as_of=4))
    await eventually(lambda: history.change_feed.waiters == 1)
    await project(read_model, story.records[2:])
    assert (await reading).contents == ["answer 0", "question 0"]


async def test_a_version_that_stays_unprojected_is_projection_behind(
    history: HistoryClient, read_model: ActiveReadModel, session: FakeSessionService
) -> None:
    session.add(story := chat(1))
    await project(read_model, story.records[:2])
    behind = await history.read(story.id, as_of=4)
    assert behind.error == (503, "projection_behind", None)


@pytest.mark.parametrize("gone", ["deleted", "erased"])
async def test_a_deleted_session_is_indistinguishable_from_an_unknown_one(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService, gone: Any
) -> None:
    story = full()
    story.delete() if gone == "deleted" else story.erase()
    await project_story(story)
    del session.sessions[story.id]
    unknown = await history.read(uuid4())
    for query in ({}, {"as_of": 3}, {"branches": "all"}, {"min_version": story.version}):
        page = await history.read(story.id, **query)
        assert page.json == unknown.json
        assert page.status == 404


async def test_a_request_that_waits_for_an_erasure_is_answered_not_found(
    start: StartHistory, read_model: ActiveReadModel, session: FakeSessionService
) -> None:
    history = await start(wait_seconds=30)
    session.add(story := chat(1))
    await project(read_model, story.records)
    story.erase()
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: history.change_feed.waiters == 1)
    del session.sessions[story.id]
    await project(read_model, story.records[-1:])
    assert (await reading).error == (404, "session_not_found", None)


async def test_a_restored_session_is_readable_again(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = full()
    story.delete()
    story.restore()
    await project_story(story)
    assert (await history.read(story.id, limit=1)).contents == ["last half"]
