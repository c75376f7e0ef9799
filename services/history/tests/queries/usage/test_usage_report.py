"""`GET /usage`: sums of tokens and cost of a person or a tenant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from history_testing.completions import Completion
from history_testing.fixtures import ProjectStory
from history_testing.history import HistoryClient
from history_testing.read_model import project
from history_testing.stories import ADA, EVE, NOON, Story, chat, full

from parley_core.auth.principal import Principal
from parley_events.values import Price, Usage
from parley_history.projection.active_read_model import ActiveReadModel

ROOT = Principal("default", "root", frozenset({"admin"}))
DAYS = {"start": "2026-11-24", "end": "2026-11-24"}
EURO = Price(currency="EUR", prompt=1, completion=0)
NOTHING = {
    "replies": 0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "estimated_tokens": 0,
    "cost": [],
}


@pytest.fixture
def usage(history: HistoryClient) -> Any:
    """Returns the report, by default for the day of the stories."""

    async def usage(person: Principal = ADA, **query: Any) -> Any:
        response = await history.call("/usage", person, **DAYS | query)
        assert response.status == 200, response.body
        return response.json

    return usage


def story_with_replies(*replies: dict[str, Any], **fields: Any) -> Story:
    story = Story(**fields)
    for reply in replies:
        story.submit("question")
        story.reply("answer", **reply)
    return story


def tokens(prompt: int, completion: int = 0) -> dict[str, Any]:
    return {"usage": Usage(prompt_tokens=prompt, completion_tokens=completion)}


def replies_by(key: str, response: dict[str, Any]) -> dict[str, int]:
    return {group[key]: group["replies"] for group in response["data"]}


async def test_a_report_has_exactly_the_public_fields(
    usage: Any, project_story: ProjectStory
) -> None:
    story = await project_story(chat(5))
    assert await usage(group_by="session") == {
        "object": "usage",
        "start": "2026-11-24",
        "end": "2026-11-24",
        "group_by": "session",
        "total": FIVE_TURNS,
        "data": [{"object": "usage.group", "session_id": str(story.id), **FIVE_TURNS}],
        "has_more": False,
        "next": None,
    }
    assert (await usage())["total"] == FIVE_TURNS
    assert ((await usage())["group_by"], (await usage())["data"]) == (None, [])


# The third turn failed without usage; the fifth was cancelled without a price.
FIVE_TURNS = {
    "replies": 4,
    "prompt_tokens": 28,
    "completion_tokens": 10,
    "total_tokens": 38,
    "estimated_tokens": 8,
    "cost": [{"currency": "USD", "micros": 9}],  # 3 x (7 x 0.15 + 3 x 0.6) = 8.55
}


async def test_usage_is_summed_across_batches(usage: Any, read_model: ActiveReadModel) -> None:
    story = chat(5)
    for record in story.records:
        await project(read_model, [record])
    await project(read_model, story.records)
    assert (await usage())["total"] == FIVE_TURNS


async def test_a_report_covers_the_last_30_days_by_default(
    history: HistoryClient, read_model: ActiveReadModel
) -> None:
    now = datetime.now(UTC)
    first_day = now - timedelta(days=29)
    for at in (now, first_day, first_day - timedelta(days=1)):
        await project(read_model, Completion(starts_at=at).records)
    response = (await history.call("/usage")).json
    assert (response["start"], response["end"]) == (f"{first_day:%F}", f"{now:%F}")
    assert response["total"]["replies"] == 2


async def test_a_sum_is_rounded_once_and_a_half_upwards(
    usage: Any, project_story: ProjectStory
) -> None:
    one = Price(currency="USD", prompt=1, completion=0)
    await project_story(
        story_with_replies(tokens(499_999) | {"price": one}, tokens(1_000_000) | {"price": one})
    )
    assert (await usage())["total"]["cost"] == [{"currency": "USD", "micros": 1}]
    await project_story(story_with_replies(tokens(1) | {"price": one}))
    response = await usage(group_by="session")
    assert response["total"]["cost"] == [{"currency": "USD", "micros": 2}]
    assert sorted(group["cost"][0]["micros"] for group in response["data"]) == [0, 1]


async def test_each_currency_is_summed_separately(usage: Any, project_story: ProjectStory) -> None:
    await project_story(
        story_with_replies(tokens(1_000_000) | {"price": EURO}, {}, tokens(5) | {"price": None})
    )
    await project_story(story_with_replies(tokens(2_000_000) | {"price": EURO}))
    total = (await usage())["total"]
    assert total["cost"] == [{"currency": "EUR", "micros": 3}, {"currency": "USD", "micros": 3}]
    assert (total["replies"], total["prompt_tokens"]) == (4, 3_000_012)


async def test_titles_and_summaries_count_under_their_model_but_are_no_replies(
    usage: Any, project_story: ProjectStory
) -> None:
    await project_story(full())
    models = {group["model"]: group for group in (await usage(group_by="model"))["data"]}
    assert [*models] == ["demo", "small"]
    assert (models["small"]["replies"], models["small"]["total_tokens"]) == (0, 10)
    assert (models["demo"]["replies"], models["demo"]["total_tokens"]) == (3, 2 * 10 + 8 + 100)


async def test_usage_of_an_erased_session_is_kept(
    usage: Any, project_story: ProjectStory, read_model: ActiveReadModel
) -> None:
    story = await project_story(full())
    before = await usage(group_by="session")
    story.erase()
    await project(read_model, story.records[-1:])
    assert await usage(group_by="session") == before


async def test_groups_are_ordered_by_key(usage: Any, project_story: ProjectStory) -> None:
    late = datetime(2026, 11, 24, 23, 59, 59, 999_000, tzinfo=UTC)
    # The message and its reply are on different days.
    await project_story(story_with_replies({}, starts_at=late))
    await project_story(Completion(starts_at=late))
    await project_story(Completion(starts_at=NOON + timedelta(days=9)))
    response = await usage(end="2026-12-31", group_by="day")
    assert replies_by("day", response) == {"2026-11-24": 1, "2026-11-25": 1, "2026-12-03": 1}
    assert [group["day"] for group in response["data"]] == [
        "2026-11-24",
        "2026-11-25",
        "2026-12-03",
    ]
    assert (await usage())["total"]["replies"] == 1


async def test_completions_are_one_group_without_a_session(
    usage: Any, project_story: ProjectStory, history: HistoryClient
) -> None:
    story = await project_story(chat(1))
    for status in ("completed", "cut"):
        await project_story(Completion(model="b", status=status))
    assert replies_by("session_id", await usage(group_by="session")) == {str(story.id): 1, None: 2}
    assert replies_by("assistant_id", await usage(group_by="assistant")) == {"helper": 1, None: 2}
    assert replies_by("model", await usage(group_by="model")) == {"demo": 1, "b": 2}
    assert [one["id"] for one in (await history.list()).json["data"]] == [str(story.id)]


async def test_a_completion_cannot_be_read(
    history: HistoryClient, read_model: ActiveReadModel
) -> None:
    completion = Completion()
    await project(read_model, completion.records)
    assert (await history.read(completion.id)).status == 404
    assert (await history.call(f"/sessions/{completion.id}/export")).status == 404


async def test_usage_is_filtered(usage: Any, project_story: ProjectStory) -> None:
    mine, coder = (
        await project_story(story_with_replies({}, {"model": "a"})),
        await project_story(story_with_replies({}, assistant_id="coder")),
    )
    await project_story(Completion())

    async def replies(**query: Any) -> Any:
        return (await usage(**query))["total"]["replies"]

    assert await replies() == 4
    assert await replies(session_id=mine.id) == 2
    assert await replies(assistant_id="coder") == 1
    assert await replies(model="a") == 1
    assert await replies(model="a", session_id=coder.id) == 0
    assert (await usage(model="unknown"))["total"] == NOTHING


async def test_following_the_cursor_gives_every_group_once(
    usage: Any, project_story: ProjectStory
) -> None:
    stories = [await project_story(chat(1)) for _ in range(5)]
    await project_story(Completion())
    expected = [*sorted(str(story.id) for story in stories), None]
    for limit in (1, 2, 3, 6, 100):
        query: dict[str, Any] = {}
        found = []
        while True:
            page = await usage(group_by="session", limit=limit, **query)
            assert page["total"]["replies"] == 6
            found += [group["session_id"] for group in page["data"]]
            if not page["has_more"]:
                break
            query = {"after": page["next"]}
        assert page["next"] is None
        assert found == expected


@pytest.mark.parametrize(
    ("group_by", "key", "keys"),
    [
        ("day", "day", ["2026-11-24", "2026-11-25"]),
        ("model", "model", ["a", "é"]),
        ("assistant", "assistant_id", ["coder", "helper"]),
    ],
)
async def test_every_grouping_has_cursors(
    usage: Any, project_story: ProjectStory, group_by: Any, key: Any, keys: Any
) -> None:
    await project_story(story_with_replies({"model": "é"}))
    await project_story(
        story_with_replies({"model": "a"}, assistant_id="coder", starts_at=NOON + timedelta(days=1))
    )
    query = {"end": "2026-11-25", "group_by": group_by, "limit": 1}
    first = await usage(**query)
    second = await usage(**query, after=first["next"])
    assert [page["data"][0][key] for page in (first, second)] == keys
    assert (first["has_more"], second["has_more"]) == (True, False)


async def test_an_admin_sees_usage_of_others_in_their_own_tenant(
    usage: Any, project_story: ProjectStory, history: HistoryClient
) -> None:
    for person in (ADA, EVE, EVE, Principal("other", "ada")):
        await project_story(story_with_replies({}, person=person))
    assert (await usage(EVE))["total"]["replies"] == 2
    everyone = await usage(ROOT, group_by="user")
    assert replies_by("user", everyone) == {"ada": 1, "eve": 2}
    assert everyone["total"]["replies"] == 3
    of_eve = await usage(ROOT, user="eve", group_by="day")
    assert replies_by("day", of_eve) == {"2026-11-24": 2}
    assert replies_by("user", await usage(ROOT, user="eve", group_by="user")) == {"eve": 2}
    assert (await usage(ROOT))["total"] == NOTHING
    for query in ({"user": "eve"}, {"user": "ada"}, {"group_by": "user"}):
        assert (await history.call("/usage", ADA, **query)).error == (403, "forbidden", None)
    assert (await history.call("/usage", None)).status == 401
