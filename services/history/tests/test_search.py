"""What a person said and heard is found by its words, over HTTP, as soon as it is indexed."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from history_peers.history import serve_history
from history_peers.read_model import project
from history_peers.stories import ADA, EVE, NOON, Story, chat

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import InvalidRequest
from parley_history.queries.search import index_batches as behind
from parley_history.queries.search import match_repository as found
from parley_history.queries.search.blind_tokens import tokens_of
from parley_history.queries.search.dirty_sessions import DirtySessions
from parley_history.queries.search.request import search_request_of
from parley_testing.eventually import eventually


@pytest.fixture
async def searched(start):
    return await start(history_search_indexes=True, history_search_pause_seconds=0.02)


@pytest.fixture
def indexed(tables):
    """Whether the stories, and nothing else, are indexed as far as they go."""

    def indexed(*stories):
        async def as_they_are():
            rows = await tables.connection.fetch("SELECT session_id, version FROM search_sessions")
            expected = {story.id: story.version for story in stories}
            return {row["session_id"]: row["version"] for row in rows} == expected

        return eventually(as_they_are, within=15)

    return indexed


def contents_of(answer):
    assert answer.status == 200, answer.body
    return [result["message"]["content"] for result in answer.json["data"]]


async def test_all_words_must_be_in_a_message_and_the_newest_comes_first(searched, told, indexed):
    first = Story(title="Holidays")
    first.says("Café in Zürich")
    first.hears("A cafe, in Zurich: «Odeon»")
    second = Story(starts_at=NOON + timedelta(days=1))
    second.says("zürich")
    second.fails("half a café in Zürich")
    await told(first)
    await told(second)
    await indexed(first, second)
    found = await searched.search("ZURICH café")
    assert contents_of(found) == [
        "half a café in Zürich",
        "A cafe, in Zurich: «Odeon»",
        "Café in Zürich",
    ]
    result = found.json["data"][1]
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


async def test_nobody_finds_what_another_person_said(searched, told, indexed):
    ours, theirs = chat(1), chat(1, EVE)
    namesake = chat(1, Principal("other", ADA.user))
    for story in (ours, theirs, namesake):
        await told(story)
    await indexed(ours, theirs, namesake)
    found = await searched.search("question")
    assert [result["session_id"] for result in found.json["data"]] == [str(ours.id)]
    stranger = await searched.search("question", Principal("default", "stranger"))
    assert stranger.json["data"] == []


async def test_pages_follow_each_other_without_a_gap_or_a_repeat(searched, told, indexed):
    stories = []
    for days in (0, 0, 1, 2):
        stories.append(story := Story(starts_at=NOON + timedelta(days=days)))
        for n in range(3):
            story.says(f"needle {n}")
            story.hears(f"needle and thread {n}")
        await told(story)
    await indexed(*stories)
    whole = [result["message"]["id"] for result in (await searched.search("needle")).json["data"]]
    assert len(whole) == 24 - 4
    everything = (await searched.search("needle", limit=100)).json
    assert (len(everything["data"]), everything["has_more"]) == (24, False)
    for limit in (5, 12, 24):
        ids, after = [], {}
        while True:
            page = (await searched.search("needle", limit=limit, **after)).json
            ids += [result["message"]["id"] for result in page["data"]]
            assert page["last_id"] == ids[-1]
            after = {"after": page["last_id"]}
            if not page["has_more"]:
                break
        assert ids == [result["message"]["id"] for result in everything["data"]]
    assert contents_of(await searched.search("needle", after=everything["last_id"])) == []


async def test_a_common_word_and_a_rare_one_are_found_among_thousands(
    searched, told, indexed, monkeypatch
):
    monkeypatch.setattr(found, "_NEWEST", 10)
    story = Story()
    story.imports("a rare word")
    for n in range(50):
        story.imports(f"a common word {n}")
    await told(story)
    await indexed(story)
    assert len(contents_of(await searched.search("word", limit=5))) == 5
    assert contents_of(await searched.search("rare")) == ["a rare word"]
    page = await searched.search("word", limit=51)
    assert (len(page.json["data"]), page.json["has_more"]) == (51, False)
    page = await searched.search("word", limit=50)
    assert (len(page.json["data"]), page.json["has_more"]) == (50, True)


@pytest.mark.parametrize(("messages", "size"), [(1, 10**6), (3, 10**6), (200, 1), (200, 300)])
async def test_what_is_more_than_a_page_is_indexed_page_by_page(
    start, told, indexed, monkeypatch, messages, size
):
    monkeypatch.setattr(behind, "MESSAGES", messages)
    monkeypatch.setattr(behind, "BYTES", size)
    stories = []
    for _ in range(4):
        stories.append(story := Story())
        for n in range(3):
            story.says(f"needle {n}")
            story.fails() if n == 1 else story.hears("needle and thread")
        story.says("a last needle")
        await told(story)
    history = await start(history_search_indexes=True)
    await indexed(*stories)
    assert len(contents_of(await history.search("needle", limit=100))) == 4 * 6
    assert (await history.numbers())["parley_search_messages_total"] == 4 * 6


async def test_what_may_not_be_found_is_not_in_the_index(searched, told, indexed, read_model):
    temporary = Story(expires_at=NOON)
    temporary.says("secret plan")
    deleted, erased, kept = chat(1), chat(1), chat(1)
    for story in (temporary, deleted, erased, kept):
        await told(story)
    await indexed(deleted, erased, kept)
    before = deleted.version, erased.version
    deleted.is_deleted()
    erased.is_erased()
    for story, version in zip((deleted, erased), before, strict=True):
        await project(read_model, story.records[version:])
    await indexed(kept)
    found = await searched.search("question")
    assert [result["session_id"] for result in found.json["data"]] == [str(kept.id)]
    deleted.is_restored()
    await project(read_model, deleted.records[-1:])
    await indexed(kept, deleted)
    assert contents_of(await searched.search("secret")) == []
    assert len(contents_of(await searched.search("question"))) == 2


async def test_what_moved_while_nobody_indexed_is_found_afterwards(
    tables, session, start, told, indexed, read_model
):
    stories = [await told(chat(2)) for _ in range(3)]
    own = {"history_search_indexes": True, "history_search_sessions": 2}
    async with serve_history(history_database=tables.dsn, session_url=session.url, **own):
        await indexed(*stories)
    version = stories[0].version
    stories[0].is_erased()
    stories[1].says("news")
    for story in stories[:2]:
        await project(read_model, story.records[version:])
    history = await start(**own)
    await indexed(*stories[1:])
    assert contents_of(await history.search("news")) == ["news"]
    of_erased = "SELECT count(*) FROM search_messages WHERE session_id = $1"
    assert await tables.connection.fetchval(of_erased, stories[0].id) == 0


async def test_another_process_takes_over_from_one_that_lost_its_connection(
    start, told, indexed, tables
):
    own = {"history_search_indexes": True, "history_search_pause_seconds": 0.02}
    for _ in range(2):
        await start(**own)
    await indexed(first := await told(chat(1)))
    cut = await tables.connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert len(cut) == 1
    await indexed(first, await told(chat(1)))


async def test_the_index_shows_no_word_and_is_made_anew_under_another_key(
    start, told, indexed, tables, session
):
    own = {"history_search_indexes": True, "history_search_walk_seconds": 0.02}
    history = await start(history_key_seconds=0.1, **own)
    await indexed(await told(chat(1)))

    async def is_under_the_key_of_now():
        rows = await tables.connection.fetch("SELECT * FROM search_messages")
        assert "question" not in str(rows)
        tokens = {token for row in rows for token in row["tokens"]}
        return tokens == {*tokens_of(session.search_keys["default", "ada"], words)}

    words = ["question", "answer", "0"]
    assert await is_under_the_key_of_now()
    # As after a restore without search keys.
    session.search_keys["default", "ada"] = DataKey.generate()
    await eventually(is_under_the_key_of_now)
    assert len(contents_of(await history.search("question"))) == 1


async def test_while_session_is_away_nothing_is_added_but_what_was_erased_goes(
    searched, told, indexed, session, read_model
):
    await indexed(erased := await told(chat(1)))
    session.fails = (503, "unavailable")
    await told(story := chat(1))
    assert (await searched.search("question")).error == (503, "session_unavailable", None)
    erased.is_erased()
    await project(read_model, erased.records[-1:])
    await indexed()
    session.fails = None
    await indexed(story)
    assert len(contents_of(await searched.search("question"))) == 1


async def test_what_lags_is_a_number(searched, told, indexed):
    await indexed(await told(chat(1)))
    numbers = await searched.numbers()
    assert numbers["parley_search_messages_total"] == 2
    assert numbers["parley_search_lag_seconds"] == 0


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
def test_what_cannot_be_searched_for_is_refused_by_the_field(body, param):
    with pytest.raises(InvalidRequest) as refused:
        search_request_of(json.dumps(body).encode())
    assert refused.value.param == param


async def test_a_cursor_of_another_person_is_no_cursor(searched, told, indexed):
    ours, theirs = await told(chat(1)), await told(chat(1, EVE))
    await indexed(ours, theirs)
    [result] = (await searched.search("question", EVE)).json["data"]
    refused = await searched.search("question", after=result["message"]["id"])
    assert refused.error == (400, "invalid_request", "after")


async def test_what_is_missed_is_looked_for_and_what_moves_meanwhile_is_not_lost():
    moved = DirtySessions(most=2, clock=iter(range(1, 100)).__next__)
    a, b, c = (uuid4() for _ in range(3))
    moved.moved([a, b])
    assert await moved.next(1, 0) == [a]
    moved.moved([a])
    assert moved.oldest_seconds == 2
    assert [await moved.next(9, 0), await moved.next(9, 0)] == [[b, a], []]
    assert moved.oldest_seconds == 3
    moved.done()
    assert moved.oldest_seconds == 0
    moved.moved([a, b, c])
    assert moved.missed
    assert await moved.next(9, 0) == []
