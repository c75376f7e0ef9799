"""Message pages over HTTP, from rows that the projector wrote."""

from typing import Any
from uuid import uuid4

import pytest
from history_testing.fixtures import ProjectStory
from history_testing.history import HistoryClient
from history_testing.stories import ADA, EVE, Story, chat

from parley_contracts.api_models import Message, Page
from parley_core.auth.principal import Principal
from parley_testing.session_service import FakeSessionService


async def test_a_page_has_exactly_the_public_fields(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = Story()
    question = story.submit("How?\nWith “quotes” and 𝄞")
    answer = story.reply("So.")
    story.submit("And?")
    story.fail("half")
    story.submit("Stop.")
    story.cancel()
    await project_story(story)
    page = await history.read(story.id)
    assert page.headers["content-type"] == "application/json"
    assert page.headers["x-request-id"] == "req-7"
    parsed = Page[Message].model_validate_json(page.body)
    assert page.json == Page[Message].model_validate(parsed).model_dump(mode="json")
    assert page.body == parsed.to_json()
    assert page.json | {"data": []} == {
        "object": "list",
        "data": [],
        "first_id": page.json["data"][0]["id"],
        "last_id": str(question),
        "has_more": False,
        "version": story.version,
    }
    turn_id = str(story.data(2).turn_id)
    message = {"object": "message", "session_id": str(story.id), "turn_id": turn_id}
    assert page.json["data"][-1] == message | {
        "id": str(question),
        "parent_message_id": None,
        "role": "user",
        "content": "How?\nWith “quotes” and 𝄞",
        "status": "completed",
        "version": 2,
        "created_at": "2026-11-24T12:00:00.001000Z",
    }
    assert page.json["data"][-2] == message | {
        "id": str(answer),
        "parent_message_id": str(question),
        "role": "assistant",
        "content": "So.",
        "status": "completed",
        "version": 4,
        "created_at": "2026-11-24T12:00:00.003000Z",
        "model": "demo",
        "finish_reason": "stop",
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "estimated": False,
        },
    }
    cancelled, _, failed, *_ = page.json["data"]
    assert (failed["status"], failed["content"], "usage" in failed) == ("failed", "half", False)
    assert (cancelled["status"], cancelled["content"]) == ("cancelled", "")
    assert cancelled["usage"]["estimated"] is True


def talk(messages: int) -> Story:
    """Return a conversation whose messages contain their index, from 0."""
    story = Story()
    for index in range(0, messages, 2):
        story.submit(f"{index}")
        story.reply(f"{index + 1}")
    return story


async def test_pages_have_the_twenty_newest_messages_by_default(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = await project_story(talk(26))
    newest = await history.read(story.id)
    assert newest.contents == [f"{index}" for index in range(25, 5, -1)]
    oldest = await history.read(story.id, order="asc", limit=3)
    assert oldest.contents == ["0", "1", "2"]
    assert newest.json["has_more"]
    assert oldest.json["has_more"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 4, 5, 100])
async def test_following_the_cursors_gives_every_message_once_in_both_directions(
    history: HistoryClient, project_story: ProjectStory, order: str, limit: int
) -> None:
    story = await project_story(talk(10))
    expected = [f"{index}" for index in range(10)]
    if order == "desc":
        expected.reverse()

    query: dict[str, Any] = {}
    forward = []
    while True:
        page = await history.read(story.id, order=order, limit=limit, **query)
        forward += page.contents
        query = {"after": page.json["last_id"]}
        if not page.json["has_more"]:
            break
    assert forward == expected

    last = page.json["data"][-1]
    back, query = [last["content"]], {"before": last["id"]}
    while True:
        page = await history.read(story.id, order=order, limit=limit, **query)
        back = page.contents + back
        query = {"before": page.json["first_id"]}
        if not page.json["has_more"]:
            break
    assert back == expected


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_the_page_after_the_last_message_is_empty(
    history: HistoryClient, project_story: ProjectStory, order: str
) -> None:
    story = await project_story(talk(4))
    page = await history.read(story.id, order=order)
    for cursor in ({"after": page.json["last_id"]}, {"before": page.json["first_id"]}):
        edge = await history.read(story.id, order=order, **cursor)
        assert edge.json == {
            "object": "list",
            "data": [],
            "first_id": None,
            "last_id": None,
            "has_more": False,
            "version": story.version,
        }


async def test_a_cursor_of_another_session_is_rejected(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story, other = await project_story(chat(1)), await project_story(chat(1))
    foreign = other.data(1).message_id
    for param in ("after", "before"):
        for unknown in (uuid4(), foreign):
            query: dict[str, Any] = {param: unknown}
            response = await history.read(story.id, **query)
            assert response.error == (400, "invalid_request", param)
    session.add(new := Story())
    assert (await history.read(new.id, after=uuid4())).error == (400, "invalid_request", "after")


async def test_an_invalid_parameter_is_named(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = await project_story(chat(1))
    queries: list[dict[str, Any]] = [{"limit": "0"}, {"as_of": "yesterday"}]
    for query in queries:
        assert (await history.read(story.id, **query)).error == (400, "invalid_request", *query)


async def test_a_session_of_another_person_is_indistinguishable_from_an_unknown_one(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = await project_story(chat(1))
    for stranger in (EVE, Principal("other", "ada"), Principal("default", "Ada")):
        foreign = await history.read(story.id, stranger)
        unknown = await history.read(uuid4(), stranger)
        assert foreign.error == unknown.error == (404, "session_not_found", None)
        assert foreign.json == unknown.json
        waited = await history.read(story.id, stranger, min_version=99)
        assert waited.error == (404, "session_not_found", None)


async def test_a_session_that_is_not_projected_yet_is_an_empty_list(
    history: HistoryClient, session: FakeSessionService
) -> None:
    session.add(story := Story())
    page = await history.read(story.id)
    assert page.json["data"] == []
    assert (page.json["version"], page.json["has_more"]) == (0, False)
    assert session.callers == [("get", ADA, "req-7")]


async def test_a_call_without_a_gateway_principal_is_unauthenticated(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = await project_story(chat(1))
    for response in (
        await history.read(story.id, None),
        await history.read(story.id, audience="session"),
    ):
        assert response.error == (401, "unauthenticated", None)
    other = await history.read(story.id, issuer="inference")
    assert other.error == (403, "service_not_allowed", None)


async def test_an_erased_session_reads_as_unknown(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    session.erased.add(story.id)
    assert (await history.read(story.id)).error == (404, "session_not_found", None)


async def test_long_messages_are_in_their_place_among_short_ones(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = Story()
    texts = ["first", "x" * 100_000, "third", "", "y" * 100_000]
    for text in texts:
        story.submit(text)
    await project_story(story)
    assert (await history.read(story.id, order="asc")).contents == texts


@pytest.mark.parametrize("branched", [False, True])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_page_of_long_messages_ends_before_four_mebibytes(
    history: HistoryClient, project_story: ProjectStory, order: str, branched: bool
) -> None:
    story = Story()
    texts = [f"{number} {'x' * 250_000}" for number in range(40)]
    if branched:
        story.submit("left")
    for index, text in enumerate(texts):
        story.submit(text, **({"after": None} if branched and index == 0 else {}))
    await project_story(story)
    expected = texts if order == "asc" else texts[::-1]

    first = await history.read(story.id, order=order, limit=100)
    assert first.contents == expected[:16]
    second = await history.read(story.id, order=order, limit=100, after=first.json["last_id"])
    assert second.contents == expected[16:32]
    third = await history.read(story.id, order=order, limit=100, after=second.json["last_id"])
    assert third.contents == expected[32:]
    pages = (first, second, third)
    assert [page.json["has_more"] for page in pages] == [True, True, False]
    before = await history.read(story.id, order=order, limit=100, before=third.json["first_id"])
    assert before.contents == expected[16:32]
