"""The context window, titles and summaries that a claim requests."""

import json
from typing import Any
from uuid import uuid4

from session_support.service import Service

from parley_core.storage.postgres_pool import Pool

BUDGETS = {"demo": 1_000}
USAGE = {"prompt_tokens": 3, "completion_tokens": 6, "estimated": False}


async def said(session: Service, turns: int) -> tuple[str, dict[str, Any]]:
    """A session with this number of turns, and the input of its open turn."""
    session_id = (await session.start(title="Talk"))["id"]
    for number in range(turns):
        await session.answered(session_id, f"question {number} " + "q" * 120, "a" * 150)
    return session_id, await run_of(session, session_id)


async def run_of(session: Service, session_id: str, **given: Any) -> dict[str, Any]:
    turn = await session.submit(session_id, "And now?")
    mine = str(uuid4())
    claim = await session.claim(turn["id"], mine, budgets=BUDGETS, **given)
    await session.complete(turn["id"], mine)
    return dict(claim["run"])


async def test_a_window_uses_the_budget_of_its_model(session: Service) -> None:
    _, run = await said(session, 2)
    context = run["context"]
    assert 500 < context["budget"] < 1_000
    assert context["tokens"] <= context["budget"]
    assert (len(context["messages"]), run["compact"]) == (5, None)


async def test_a_summary_is_requested_and_starts_the_next_window(
    session: Service, pool: Pool
) -> None:
    session_id, run = await said(session, 7)
    up_to, messages = run["compact"]["up_to_message_id"], run["context"]["messages"]
    assert run["compact"]["messages"] == []
    position = [message["id"] for message in messages].index(up_to)
    summary = {
        "up_to_message_id": up_to,
        "summary": "Ada asked often. 🎈",
        "tokens": 7,
        "model": "demo",
        "usage": USAGE,
    }
    for _ in range(2):
        response = await session.end(f"/sessions/{session_id}/compaction", summary)
        assert (response.status, response.body) == (200, {})
    after = await run_of(session, session_id)
    first, *rest = after["context"]["messages"]
    assert first == {"id": None, "role": "system", "content": "Ada asked often. 🎈"}
    assert rest[: len(messages) - position - 1] == messages[position + 1 :]
    assert after["compact"] is None
    events = "SELECT count(*) FROM events WHERE type LIKE '%context_compacted%'"
    assert await pool.fetchval(events) == 1


async def test_a_runner_with_a_cached_window_gets_the_summary_once(session: Service) -> None:
    session_id, run = await said(session, 7)
    up_to = run["compact"]["up_to_message_id"]
    summary = {"up_to_message_id": up_to, "summary": "Ada.", "model": "demo"}
    loaded = run["context"]
    for base in (None, "version"):
        since = {"version": loaded["version"], "budget": loaded["budget"]}
        since["message_id"] = loaded["messages"][-1]["id"]
        await session.end(f"/sessions/{session_id}/compaction", summary)
        context = (await run_of(session, session_id, since=since))["context"]
        assert context["base"] == (base and loaded["version"])
        assert (context["messages"][0]["id"] is None) is (base is None)
        loaded = context


async def test_a_title_is_requested_until_there_is_one(session: Service, pool: Pool) -> None:
    session_id = (await session.start())["id"]
    asked = [(await run_of(session, session_id))["suggest_title"]]
    title = {"title": "Tea 🎈", "model": "demo", "usage": USAGE}
    response = await session.end(f"/sessions/{session_id}/title", title)
    assert (response.status, response.body) == (200, {})
    asked.append((await run_of(session, session_id))["suggest_title"])
    assert asked == [True, False]
    stored = await pool.fetchval("SELECT data FROM events WHERE type LIKE '%session_renamed%'")
    assert json.loads(stored)["suggested"] is True


async def test_a_title_is_requested_in_the_first_three_turns_only(session: Service) -> None:
    session_id = (await session.start())["id"]
    asked = [(await run_of(session, session_id))["suggest_title"] for _ in range(4)]
    assert asked == [True, True, True, False]


async def test_a_temporary_session_gets_no_title(session: Service) -> None:
    session_id = (await session.start(temporary=True))["id"]
    assert not (await run_of(session, session_id))["suggest_title"]


async def test_tokens_are_counted_where_the_vocabulary_is_known(serve: Any, pool: Pool) -> None:
    session = await serve(session_default_model="gpt-4o")
    await session.open_turn("Hello, world!")
    stored = await pool.fetchval("SELECT data FROM events WHERE type LIKE '%message_submitted%'")
    assert json.loads(stored)["tokens"] == 4
