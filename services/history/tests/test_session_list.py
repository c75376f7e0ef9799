"""A person's sessions: which ones are listed, in which order, page by page."""

import asyncio
from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest
from history_peers.read_model import project
from history_peers.stories import ADA, EVE, NOON, Story, chat, full

from parley_contracts.api_models import Page, SessionShape
from parley_core.auth.principal import Principal
from parley_events.values import ForkPoint
from parley_testing.eventually import eventually


def at(minute: int, **story) -> Story:
    return Story(starts_at=NOON + timedelta(minutes=minute), **story)


@pytest.fixture
def listed(history):
    """The ids of the sessions of a page."""

    async def listed(person: Principal = ADA, **query):
        page = await history.list(person, **query)
        assert page.status == 200, page.body
        return [session["id"] for session in page.json["data"]]

    return listed


def ids_of(*stories: Story) -> list[str]:
    return [str(story.id) for story in stories]


async def test_a_page_has_the_shape_that_clients_see_and_nothing_else(history, told):
    origin = ForkPoint(session_id=uuid4(), message_id=uuid4())
    plain = await told(at(0))
    story = at(1, title="Words", metadata={"a": "b"}, forked_from=origin)
    story.is_renamed("Other words")
    story.is_described(colour="red")
    story.is_held()
    story.says("question")
    await told(story)
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
        "open_turn_id": str(story.events[-1].data.turn_id),
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


async def test_only_what_is_the_persons_and_is_there_is_listed(told, listed):
    there = await told(at(0))
    await told(at(1, expires_at=NOON + timedelta(days=1)))
    for gone in (at(2), at(3)):
        gone.says("question")
        gone.is_deleted()
        await told(gone)
    erased = at(4)
    erased.is_erased()
    await told(erased)
    others = await told(at(5, person=EVE))
    await told(at(6, person=Principal("other", "ada")))
    assert await listed() == ids_of(there)
    assert await listed(EVE) == ids_of(others)
    assert await listed(Principal("default", "nobody")) == []


async def test_the_last_one_that_moved_is_the_first(told, listed, read_model):
    early, late = await told(at(0)), await told(at(1))
    assert await listed() == ids_of(late, early)
    early._starts_at = NOON + timedelta(minutes=2)
    early.says("question")
    await project(read_model, early.records[1:])
    assert await listed() == ids_of(early, late)


async def test_following_the_cursors_gives_every_session_once_in_both_directions(told, history):
    # Of some the last event is of the same time: then the id settles the order.
    stories = [await told(at(n // 3)) for n in range(7)]
    stories.sort(key=lambda story: (story.events[-1].time, story.id))
    for order, limit in product(("asc", "desc"), (1, 3, 7, 100)):
        expected = ids_of(*stories)[:: 1 if order == "asc" else -1]
        assert await followed(history, "after", order, limit) == expected
        assert await followed(history, "before", order, limit) == expected


async def followed(history, direction, order, limit):
    """All ids that are found by following the cursors, from one end to the other."""
    found = [] if direction == "after" else [await last_id(history, order)]
    query = {} if direction == "after" else {"before": found[0]}
    while True:
        page = (await history.list(order=order, limit=limit, **query)).json
        ids = [session["id"] for session in page["data"]]
        found = found + ids if direction == "after" else ids + found
        query = {direction: page["last_id" if direction == "after" else "first_id"]}
        if not page["has_more"]:
            return found


async def last_id(history, order):
    return (await history.list(order=order, limit=100)).json["last_id"]


async def test_a_list_is_narrowed_down(told, listed):
    put_away = at(0)
    put_away.is_archived()
    await told(put_away)
    coder, helper = await told(at(1, assistant_id="coder")), await told(at(2))
    assert await listed() == ids_of(helper, coder)
    assert await listed(archived="true") == ids_of(put_away)
    assert await listed(archived="all") == ids_of(helper, coder, put_away)
    assert await listed(assistant_id="coder") == ids_of(coder)
    assert await listed(assistant_id="nobody") == []
    minute = "2026-11-24T12:01:00Z"
    assert await listed(updated_after=minute) == ids_of(helper)
    assert await listed(updated_before=minute, archived="all") == ids_of(put_away)
    assert await listed(
        updated_after="2026-11-24T12:00:30Z", updated_before="2026-11-24T12:02:00Z"
    ) == ids_of(coder)


async def test_a_parameter_that_is_wrong_is_named(history):
    for query in ({"archived": "maybe"}, {"after": uuid4()}, {"before": uuid4()}):
        assert (await history.list(**query)).error == (400, "invalid_request", *query)


async def test_a_session_of_another_person_is_no_cursor_and_one_that_was_erased_still_is(
    told, history, listed
):
    foreign = await told(at(9, person=EVE))
    assert (await history.list(after=foreign.id)).error == (400, "invalid_request", "after")
    older, erased = await told(at(0)), at(1)
    erased.is_erased()
    await told(erased)
    await told(at(2))
    assert await listed(after=erased.id) == ids_of(older)


async def test_keys_are_asked_for_once_and_only_for_what_is_sealed(told, session, history):
    titled = [await told(at(n, title=f"title {n}")) for n in range(3)]
    await told(at(9))
    page = await history.list(order="asc")
    titles = [session["title"] for session in page.json["data"]]
    assert titles == ["title 0", "title 1", "title 2", None]
    assert [sorted(asked) for asked in session.asked] == [sorted(ids_of(*titled))]
    await history.list()
    assert len(session.asked) == 1


async def test_a_session_whose_key_is_gone_is_left_out_and_the_rest_goes_on(
    told, session, history, listed
):
    first, second, third = [await told(at(n, title="Words")) for n in range(3)]
    session.erased.add(second.id)
    assert await listed() == ids_of(third, first)
    page = (await history.list(limit=1, after=third.id)).json
    assert (page["data"], page["has_more"]) == ([], True)
    assert await listed(limit=1, after=page["last_id"]) == ids_of(first)


async def test_without_session_titles_cannot_be_read(told, session, history):
    await told(at(0, title="Words"))
    session.fails = (500, "internal_error")
    assert (await history.list()).error == (503, "session_unavailable", None)


async def test_who_has_seen_a_version_elsewhere_sees_it_in_the_list(start, read_model, session):
    history = await start(history_wait_seconds=30)
    first, second = chat(1), full()
    await project(read_model, [first.records[0], second.records[0]])
    session.knows(first, second)
    seen = ",".join(f"{story.id}:{story.version}" for story in (first, second))
    listing = asyncio.create_task(history.list(seen=seen))
    for story in (first, second):
        await eventually(lambda: history.movements.waiting == 1)
        await project(read_model, story.records[1:])
    versions = {s["id"]: s["version"] for s in (await listing).json["data"]}
    assert versions == {str(story.id): story.version for story in (first, second)}


async def test_what_stays_unprojected_is_not_waited_for_for_ever(history, told):
    story = await told(chat(1))
    page = await history.list(seen=f"{story.id}:99,{uuid4()}:1")
    assert [session["version"] for session in page.json["data"]] == [story.version]


async def test_where_too_many_wait_the_list_is_answered_as_it_is(start, told, session):
    history, story = await start(history_wait_seconds=1, history_waiting=1), await told(chat(1))
    waiting = asyncio.create_task(history.read(story.id, min_version=9))
    await eventually(lambda: history.movements.waiting == 1)
    async with asyncio.timeout(0.5):
        assert (await history.list(seen=f"{story.id}:9")).status == 200
    assert (await waiting).status == 503
