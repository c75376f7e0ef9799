"""Search finds indexed messages by their words, over HTTP."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from history_testing.fixtures import ProjectStory
from history_testing.history import HistoryClient
from history_testing.search import contents_of
from history_testing.stories import ADA, EVE, NOON, Story, chat

from parley_core.auth.principal import Principal
from parley_core.http.errors import InvalidRequest
from parley_history.queries.search import match_repository
from parley_history.queries.search.request import parse_search_request


async def test_a_match_contains_all_words_and_the_newest_comes_first(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any
) -> None:
    first = Story(title="Holidays")
    first.submit("Café in Zürich")
    first.reply("A cafe, in Zurich: «Odeon»")
    second = Story(starts_at=NOON + timedelta(days=1))
    second.submit("zürich")
    second.fail("half a café in Zürich")
    noted = "An imported half of a café in Zürich"
    half_a_day = timedelta(hours=12)
    second.import_message(noted, "assistant", original_time=NOON + half_a_day, status="failed")
    await project_story(first)
    await project_story(second)
    await indexed(first, second)
    found = await searched.search("ZURICH café")
    assert contents_of(found) == [
        "half a café in Zürich",
        noted,
        "A cafe, in Zurich: «Odeon»",
        "Café in Zürich",
    ]
    result = found.json["data"][2]
    page = await searched.read(first.id)
    assert result == {
        "object": "search_result",
        "session_id": str(first.id),
        "session_title": "Holidays",
        "message": page.json["data"][0],
    }
    assert contents_of(await searched.search("cafe berlin")) == []
    assert contents_of(await searched.search("zurich", session_id=str(second.id), limit=1)) == [
        "half a café in Zürich"
    ]


async def test_search_finds_no_message_of_another_person(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any
) -> None:
    ours, theirs = chat(1), chat(1, EVE)
    namesake = chat(1, Principal("other", ADA.user))
    for story in (ours, theirs, namesake):
        await project_story(story)
    await indexed(ours, theirs, namesake)
    found = await searched.search("question")
    assert [result["session_id"] for result in found.json["data"]] == [str(ours.id)]
    stranger = await searched.search("question", Principal("default", "stranger"))
    assert stranger.json["data"] == []


async def test_pages_have_no_gap_and_no_repeat(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any
) -> None:
    stories = []
    for days in (0, 0, 1, 2):
        stories.append(story := Story(starts_at=NOON + timedelta(days=days)))
        for n in range(3):
            story.submit(f"needle {n}")
            story.reply(f"needle and thread {n}")
        await project_story(story)
    await indexed(*stories)
    whole = [result["message"]["id"] for result in (await searched.search("needle")).json["data"]]
    assert len(whole) == 24 - 4
    everything = (await searched.search("needle", limit=100)).json
    assert (len(everything["data"]), everything["has_more"]) == (24, False)
    for limit in (5, 12, 24):
        after: dict[str, Any] = {}
        ids = []
        while True:
            page = (await searched.search("needle", limit=limit, **after)).json
            ids += [result["message"]["id"] for result in page["data"]]
            assert page["last_id"] == ids[-1]
            after = {"after": page["last_id"]}
            if not page["has_more"]:
                break
        assert ids == [result["message"]["id"] for result in everything["data"]]
    assert contents_of(await searched.search("needle", after=everything["last_id"])) == []


async def test_copies_of_a_message_in_several_sessions_are_on_one_page(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any
) -> None:
    newest, copied, third = Story(), Story(), Story()
    newest.import_message("a needle", original_time=NOON + timedelta(days=1))
    message_id = copied.import_message("a copied needle")
    third.import_message("a copied needle")
    [started, event] = third.events
    same_id = event.data.model_copy(update={"message_id": message_id})
    third.events = [started, replace(event, data=same_id)]
    for story in (newest, copied, third):
        await project_story(story)
    await indexed(newest, copied, third)
    page = await searched.search("needle", limit=2)
    assert (contents_of(page), page.json["has_more"]) == (["a needle"], True)
    page = await searched.search("needle", limit=2, after=page.json["last_id"])
    assert {result["session_id"] for result in page.json["data"]} == {
        *(str(copied.id), str(third.id))
    }
    assert page.json["has_more"] is False


async def test_a_common_word_and_a_rare_one_are_found_among_thousands(
    searched: HistoryClient,
    project_story: ProjectStory,
    indexed: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(match_repository, "_RECENT_MESSAGES", 10)
    story = Story()
    story.import_message("a rare word")
    for n in range(50):
        story.import_message(f"a common word {n}")
    await project_story(story)
    await indexed(story)
    assert len(contents_of(await searched.search("word", limit=5))) == 5
    assert contents_of(await searched.search("rare")) == ["a rare word"]
    page = await searched.search("word", limit=51)
    assert (len(page.json["data"]), page.json["has_more"]) == (51, False)
    page = await searched.search("word", limit=50)
    assert (len(page.json["data"]), page.json["has_more"]) == (50, True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "!?"}, "query"),
        ({"query": 7}, "query"),
        ({"query": "x" * 501}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 101}, "limit"),
        ({"query": "x", "limit": True}, "limit"),
        ({"query": "x", "after": "7"}, "after"),
        ({"query": "x", "session_id": 7}, "session_id"),
        ({"query": "x", "colour": "red"}, "colour"),
        ([], None),
    ],
)
def test_an_invalid_search_field_is_named(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_search_request(json.dumps(body).encode())
    assert error.value.param == param


async def test_a_cursor_of_another_person_is_no_cursor(
    searched: HistoryClient, project_story: ProjectStory, indexed: Any
) -> None:
    ours, theirs = await project_story(chat(1)), await project_story(chat(1, EVE))
    await indexed(ours, theirs)
    [result] = (await searched.search("question", EVE)).json["data"]
    error = await searched.search("question", after=result["message"]["id"])
    assert error.error == (400, "invalid_request", "after")
