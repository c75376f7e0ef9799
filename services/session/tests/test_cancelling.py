"""A person stops a reply: the wish is kept at once, and the turn then ends only as cancelled."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import EVE, Answer
from session_support.components import Components, components_on
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool


@pytest.fixture
def parts(pool: Pool) -> Components:
    return components_on(pool)


def runner() -> str:
    return str(uuid4())


async def cancel(session: Service, turn_id: str, **more: object) -> Answer:
    return await session.call("POST", f"/turns/{turn_id}/cancel", **more)


async def test_the_runner_is_told_and_ends_the_turn_with_what_there_is(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    answer = await cancel(session, turn["id"])
    assert (answer.status, answer.body["status"]) == (200, "running")
    assert await session.heartbeat(mine, turn["id"]) == {turn["id"]: "cancelled"}
    ended = (await session.fail(turn["id"], mine, code="cancelled", partial_content="Hel")).body
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "Hel")
    assert await session.turn(turn["id"]) == ended


async def test_the_wish_is_known_to_a_process_that_did_not_hear_it(serve: Any) -> None:
    one, other = await serve(), await serve()
    turn, mine = await one.open_turn(), runner()
    await one.claim(turn["id"], mine)
    await cancel(one, turn["id"])
    assert await other.heartbeat(mine, turn["id"]) == {turn["id"]: "cancelled"}
    ended = (await other.complete(turn["id"], mine, content="Hello")).body
    assert (ended["status"], await one.turn(turn["id"])) == ("cancelled", ended)


async def test_a_reply_that_is_completed_after_the_wish_is_cancelled_all_the_same(
    session: Service,
) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    await cancel(session, turn["id"])
    ended = (await session.complete(turn["id"], mine, content="Hello")).body
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "Hello")


async def test_the_wish_again_or_many_at_once_adds_one_event(session: Service) -> None:
    turn = await session.open_turn()
    await session.claim(turn["id"], runner())
    answers = await asyncio.gather(*(cancel(session, turn["id"]) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    after = await session.call("GET", f"/sessions/{turn['session_id']}")
    assert after.body["version"] == turn["version"] + 1


async def test_a_turn_that_nobody_has_claimed_ends_at_once(session: Service, pool: Pool) -> None:
    turn, other = await session.open_turn(), await session.open_turn()
    answers = await asyncio.gather(*(cancel(session, turn["id"]) for _ in range(5)))
    ended = answers[0].body
    assert all((answer.status, answer.body) == (200, ended) for answer in answers)
    assert (ended["status"], ended["version"]) == ("cancelled", turn["version"] + 2)
    assert (ended["reply"]["status"], ended["reply"]["content"]) == ("cancelled", "")
    assert not (await session.claim(turn["id"], runner()))["claimed"]
    assert (await session.submit(turn["session_id"], "next"))["status"] == "running"
    open_turns = "SELECT count(*) FROM turns WHERE ended_sequence IS NULL"
    assert (await session.turn(other["id"]))["status"] == "running"
    assert await pool.fetchval(open_turns) == 2


async def test_whoever_claims_while_it_is_cancelled_learns_by_the_next_heartbeat(
    session: Service, components: Components
) -> None:
    turn, mine = await session.open_turn(), runner()
    # The cancel saw no runner; the claim came before its append.
    assert (await session.claim(turn["id"], mine))["claimed"]
    await components.cancel(turn, unclaimed=True)
    assert await session.heartbeat(mine, turn["id"]) == {turn["id"]: "not_yours"}
    ended = (await session.complete(turn["id"], mine, content="Hello")).body
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "")


async def test_a_turn_that_has_ended_stays_as_it_is(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    ended = (await session.complete(turn["id"], mine)).body
    answer = await cancel(session, turn["id"])
    assert (answer.status, answer.body) == (200, ended)


async def test_nobody_cancels_the_turn_of_another_or_an_unknown_one(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    foreign = await cancel(session, turn["id"], who=EVE)
    unknown = await cancel(session, str(uuid4()))
    assert foreign.status == 404
    assert foreign.body["error"]["code"] == "turn_not_found"
    assert unknown.status == 404
    assert await session.heartbeat(mine, turn["id"]) == {}
