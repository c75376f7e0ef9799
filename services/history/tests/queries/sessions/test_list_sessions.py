"""Session lists: content, order and pages."""

import asyncio
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient
from history_testing.read_model import project
from history_testing.stories import ADA, EVE, NOON, Story, chat, full

from parley_contracts.api_models import Page, SessionShape
from parley_core.auth.principal import Principal
from parley_events.values import ForkPoint
from parley_history.projection.active_read_model import ActiveReadModel
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


def at(minute: int, **story: Any) -> Story:
    return Story(starts_at=NOON + timedelta(minutes=minute), **story)


@pytest.fixture
def listed(history: HistoryClient) -> Any:
    """Returns the ids of the sessions of a page."""

    async def listed(person: Principal = ADA, **query: Any) -> Any:
        page = await history.list(person, **query)
        assert page.status == 200, page.body
        return [session["id"] for session in page.json["data"]]

    return listed


def ids_of(*stories: Story) -> list[str]:
    return [str(story.id) for story in stories]


async def test_a_page_has_exactly_the_public_fields(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    origin = ForkPoint(session_id=uuid4(), message_id=uuid4())
    plain = await project_story(at(0))
    story = at(1, title="Words", metadata={"a": "b"}, forked_from=origin)
    story.rename("Other words")
    story.change_metadata(colour="red")
    story.hold()
    story.submit("question")
    await project_story(story)
    page = await history.list()
    parsed = Page[SessionShape].model_validate_json(page.body)
    assert page.body == parsed.to_json()
    assert page.headers["content-type"] == "application/json"
    assert page.json | {"data": []} == {
        "object": "list",
        "data": [],
        "first_id": str(story.id),
        "last_id": str(plain.id),
        "has_more": False,
    }
    assert page.json["data"][0] == {
        "object": "session",
        "id": str(story.id),
        "assistant_id": "helper",
        "title": "Other words",
        "metadata": {"colour": "red"},
        "archived": False,
        "legal_hold": True,
        "open_turn_id": str(story.data(-1).turn_id),
        "version": story.version,
        "created_at": "2026-11-24T12:01:00.000000Z",
        "updated_at": "2026-11-24T12:01:00.005000Z",
        "forked_from": {
            "session_id": str(origin.session_id),
            "message_id": str(origin.message_id),
        },
    }
    untitled = page.json["data"][1]
    assert (untitled["title"], untitled["metadata"], untitled["open_turn_id"]) == (None, {}, None)


async def test_only_existing_sessions_of_the_person_are_listed(
    project_story: ProjectStory, listed: Any
) -> None:
    there = await project_story(at(0))
    await project_story(at(1, expires_at=NOON + timedelta(days=1)))
    for gone in (at(2), at(3)):
        gone.submit("question")
        gone.delete()
        await project_story(gone)
    erased = at(4)
    erased.erase()
    await project_story(erased)
    others = await project_story(at(5, person=EVE))
    await project_story(at(6, person=Principal("other", "ada")))
    assert await listed() == ids_of(there)
    assert await listed(EVE) == ids_of(others)
    assert await listed(Principal("default", "nobody")) == []


async def test_the_most_recently_updated_session_comes_first(
    project_story: ProjectStory, listed: Any, read_model: ActiveReadModel
) -> None:
    early, late = await project_story(at(0)), await project_story(at(1))
    assert await listed() == ids_of(late, early)
    early._starts_at = NOON + timedelta(minutes=2)
    early.submit("question")
    await project(read_model, early.records[1:])
    assert await listed() == ids_of(early, late)


async def test_following_the_cursors_gives_every_session_once_in_both_directions(
    project_story: ProjectStory, history: HistoryClient
) -> None:
    # Sessions with equal times are ordered by id.
    stories = [await project_story(at(n // 3)) for n in range(7)]
    stories.sort(key=lambda story: (story.events[-1].time, story.id))
    for order, limit in product(("asc", "desc"), (1, 3, 7, 100)):
        expected = ids_of(*stories)[:: 1 if order == "asc" else -1]
        assert await followed(history, "after", order, limit) == expected
        assert await followed(history, "before", order, limit) == expected


async def followed(history: HistoryClient, direction: Any, order: str, limit: int) -> Any:
    """Follow the cursors from one end to the other and return all ids."""
    found = [] if direction == "after" else [await last_id(history, order)]
    query = {} if direction == "after" else {"before": found[0]}
    while True:
        page = (await history.list(order=order, limit=limit, **query)).json
        ids = [session["id"] for session in page["data"]]
        found = found + ids if direction == "after" else ids + found
        query = {direction: page["last_id" if direction == "after" else "first_id"]}
        if not page["has_more"]:
            return found


async def last_id(history: HistoryClient, order: str) -> Any:
    return (await history.list(order=order, limit=100)).json["last_id"]


async def test_a_list_is_filtered(project_story: ProjectStory, listed: Any) -> None:
    archived = at(0)
    archived.archive()
    await project_story(archived)
    coder, helper = await project_story(at(1, assistant_id="coder")), await project_story(at(2))
    assert await listed() == ids_of(helper, coder)
    assert await listed(archived="true") == ids_of(archived)
    assert await listed(archived="all") == ids_of(helper, coder, archived)
    assert await listed(assistant_id="coder") == ids_of(coder)
    assert await listed(assistant_id="nobody") == []
    minute = "2026-11-24T12:01:00Z"
    assert await listed(updated_after=minute) == ids_of(helper)
    assert await listed(updated_before=minute, archived="all") == ids_of(archived)
    assert await listed(
        updated_after="2026-11-24T12:00:30Z", updated_before="2026-11-24T12:02:00Z"
    ) == ids_of(coder)


async def test_an_invalid_parameter_is_named(history: HistoryClient) -> None:
    for query in ({"archived": "maybe"}, {"after": uuid4()}, {"before": uuid4()}):
        assert (await history.list(**query)).error == (400, "invalid_request", *query)


async def test_a_session_of_another_person_is_no_cursor_but_an_erased_one_is(
    project_story: ProjectStory, history: HistoryClient, listed: Any
) -> None:
    foreign = await project_story(at(9, person=EVE))
    assert (await history.list(after=foreign.id)).error == (400, "invalid_request", "after")
    older, erased = await project_story(at(0)), at(1)
    erased.erase()
    await project_story(erased)
    await project_story(at(2))
    assert await listed(after=erased.id) == ids_of(older)


async def test_keys_are_requested_once_and_only_for_sealed_sessions(
    project_story: ProjectStory, session: FakeSessionService, history: HistoryClient
) -> None:
    titled = [await project_story(at(n, title=f"title {n}")) for n in range(3)]
    await project_story(at(9))
    page = await history.list(order="asc")
    titles = [session["title"] for session in page.json["data"]]
    assert titles == ["title 0", "title 1", "title 2", None]
    assert [sorted(body["session_ids"]) for body in session.called("keys")] == [
        sorted(ids_of(*titled))
    ]
    await history.list()
    assert len(session.called("keys")) == 1


async def test_a_session_without_a_key_is_omitted_and_paging_continues(
    project_story: ProjectStory, session: FakeSessionService, history: HistoryClient, listed: Any
) -> None:
    first, second, third = [await project_story(at(n, title="Words")) for n in range(3)]
    session.erased.add(second.id)
    assert await listed() == ids_of(third, first)
    page = (await history.list(limit=1, after=third.id)).json
    assert (page["data"], page["has_more"]) == ([], True)
    assert await listed(limit=1, after=page["last_id"]) == ids_of(first)


async def test_without_the_session_service_titles_are_unavailable(
    project_story: ProjectStory, session: FakeSessionService, history: HistoryClient
) -> None:
    await project_story(at(0, title="Words"))
    session.errors["keys"] = (500, "internal_error")
    assert (await history.list()).error == (503, "session_unavailable", None)


async def test_a_list_waits_for_committed_versions(
    start: StartHistory, read_model: ActiveReadModel, session: FakeSessionService
) -> None:
    history = await start(wait_seconds=30)
    first, second = chat(1), full()
    await project(read_model, [first.records[0], second.records[0]])
    session.add(first, second)
    session.versions = {story.id: story.version for story in (first, second)}
    listing = asyncio.create_task(history.list())
    for story in (first, second):
        await eventually(lambda: history.change_feed.waiters == 1)
        await project(read_model, story.records[1:])
    page = (await listing).json
    versions = {s["id"]: s["version"] for s in page["data"]}
    assert versions == {str(story.id): story.version for story in (first, second)}
    assert "behind" not in page


async def test_a_list_that_is_behind_is_refused_or_marked(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    session.versions = {story.id: 99, uuid4(): 1}
    behind = await history.list()
    assert behind.error == (503, "projection_behind", None)
    assert behind.headers["retry-after"] == "1"
    page = (await history.list(allow_behind="true")).json
    assert [session["version"] for session in page["data"]] == [story.version]
    assert page["behind"]


async def test_a_list_does_not_wait_when_too_many_requests_wait(
    start: StartHistory, project_story: ProjectStory, session: FakeSessionService
) -> None:
    history, story = await start(wait_seconds=60, max_waiters=1), await project_story(chat(1))
    waiting = asyncio.create_task(history.read(story.id, min_version=9))
    await eventually(lambda: history.change_feed.waiters == 1)
    session.versions = {story.id: 9}
    assert (await history.list()).status == 503
    assert not waiting.done()
    waiting.cancel()
