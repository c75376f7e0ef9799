"""A turn is claimed by one runner, which gets the turn's input."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from session_support.client import ADA, EVE
from session_support.components import Components
from session_support.service import Service
from session_support.sessions import runner


async def test_a_claim_returns_the_input_of_the_turn(session: Service) -> None:
    turn = await session.open_turn("hello")
    claim = await session.claim(turn["id"], runner())
    assert claim["claimed"]
    assert claim["turn"] == turn
    run = claim["run"]
    assert run["model"] == "demo"
    assert run["instructions"].startswith("You are Helper")
    message = {"id": turn["message"]["id"], "role": "user", "content": "hello"}
    context = run["context"]
    assert (context["base"], context["version"], context["messages"]) == (None, 3, [message])
    # The instructions reduce the budget; a short message has two tokens.
    assert (context["budget"] < 24_000, context["tokens"]) == (True, 2 + 4)


async def test_one_of_concurrent_claims_succeeds(session: Service) -> None:
    turn = await session.open_turn()
    claims = await asyncio.gather(*(session.claim(turn["id"], runner()) for _ in range(10)))
    assert sum(claim["claimed"] for claim in claims) == 1
    for claim in claims:
        assert (claim["run"] is not None) == claim["claimed"]
        assert claim["turn"] == turn
    # Readers of the turn buffer need the key too.
    session_id = turn["session_id"]
    keys = await session.call("POST", "/keys", {"session_ids": [session_id]}, issuer="history")
    assert {claim["key"] for claim in claims} == {keys.body["keys"][session_id]}


async def test_the_runner_may_claim_again(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    claims = await asyncio.gather(*(session.claim(turn["id"], mine) for _ in range(5)))
    assert all(claim == claims[0] and claim["claimed"] for claim in claims)


async def test_an_ended_turn_cannot_be_claimed(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    ended = (await session.complete(turn["id"], mine)).body
    for who in (mine, runner()):
        claim = await session.claim(turn["id"], who)
        assert claim == {"claimed": False, "run": None, "turn": ended, "key": None}


async def test_a_runner_gets_only_messages_that_it_has_not_cached(session: Service) -> None:
    session_id, mine = (await session.start())["id"], runner()
    first = await session.submit(session_id, "one")
    loaded = (await session.claim(first["id"], mine))["run"]["context"]
    await session.complete(first["id"], mine, content="two")
    second = await session.submit(session_id, "three")
    since = {"version": loaded["version"], "budget": loaded["budget"]}
    since["message_id"] = loaded["messages"][-1]["id"]
    news = (await session.claim(second["id"], mine, since=since))["run"]["context"]
    assert (news["base"], news["version"]) == (loaded["version"], second["version"])
    assert [(m["role"], m["content"]) for m in news["messages"]] == [
        ("assistant", "two"),
        ("user", "three"),
    ]
    whole = (await session.claim(second["id"], mine))["run"]["context"]
    assert whole["base"] is None
    assert whole["messages"] == loaded["messages"] + news["messages"]


async def test_a_window_fits_its_budget(serve: Any) -> None:
    session = await serve(session_default_context_tokens=50)
    session_id = (await session.start())["id"]
    for _ in range(5):
        await session.answered(session_id, "q" * 30, "a" * 30)
    turn = await session.submit(session_id, "last")
    messages = (await session.claim(turn["id"], runner()))["run"]["context"]["messages"]
    assert [m["content"] for m in messages][-1] == "last"
    assert 1 <= len(messages) <= 3
    assert messages[0]["role"] == "user"


async def test_a_turn_of_somebody_else_is_not_claimed(session: Service) -> None:
    turn = await session.open_turn()
    body = {"runner": runner(), "since": None}
    path = f"/turns/{turn['id']}/claim"
    rejected = await session.call("POST", path, body, who=EVE, issuer="inference")
    assert rejected.error == (404, "turn_not_found", None)
    assert (await session.claim(turn["id"], runner()))["claimed"]


async def test_a_claim_reads_events_of_another_process(
    session: Service, components: Components
) -> None:
    session_id, mine, contents = (await session.start())["id"], uuid4(), []
    for content in ("one", "two"):
        turn = await session.submit(session_id, content)
        claim = await components.lifecycle.claim(
            UUID(turn["id"]), mine, ADA, cached=None, budgets={}
        )
        assert claim.turn_input is not None
        contents.append([message.content for message in claim.turn_input.context.messages])
        await session.complete(turn["id"], str(mine), content="yes")
    assert contents == [["one"], ["one", "yes", "two"]]
