"""Cancelling a turn is durable: after it, the turn ends only as cancelled."""

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

from session_support.client import ADA, EVE, ApiResponse
from session_support.components import components_on, until_blocked
from session_support.service import Service
from session_support.sessions import runner

from parley_core.auth.caller import Caller
from parley_core.storage.postgres_pool import Pool
from parley_session.storage.turn_store import TurnRow, TurnStore


async def cancel(session: Service, turn_id: str, **more: Any) -> ApiResponse:
    return await session.call("POST", f"/turns/{turn_id}/cancel", **more)


async def test_the_heartbeat_names_a_cancelled_turn_and_the_runner_ends_it(
    session: Service,
) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    response = await cancel(session, turn["id"])
    assert (response.status, response.body["status"]) == (200, "running")
    assert await session.heartbeat(mine, turn["id"]) == {turn["id"]: "cancelled"}
    ended = (await session.fail(turn["id"], mine, code="cancelled", partial_content="Hel")).body
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "Hel")
    assert await session.turn(turn["id"]) == ended


async def test_a_cancel_is_known_to_every_process(serve: Any) -> None:
    one, other = await serve(), await serve()
    turn, mine = await one.open_turn(), runner()
    await one.claim(turn["id"], mine)
    await cancel(one, turn["id"])
    assert await other.heartbeat(mine, turn["id"]) == {turn["id"]: "cancelled"}
    ended = (await other.complete(turn["id"], mine, content="Hello")).body
    assert (ended["status"], await one.turn(turn["id"])) == ("cancelled", ended)


async def test_a_reply_completed_after_a_cancel_is_cancelled(
    session: Service,
) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    await cancel(session, turn["id"])
    ended = (await session.complete(turn["id"], mine, content="Hello")).body
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "Hello")


async def test_repeated_and_concurrent_cancels_append_one_event(session: Service) -> None:
    turn = await session.open_turn()
    await session.claim(turn["id"], runner())
    responses = await asyncio.gather(*(cancel(session, turn["id"]) for _ in range(5)))
    assert {response.status for response in responses} == {200}
    after = await session.call("GET", f"/sessions/{turn['session_id']}")
    assert after.body["version"] == turn["version"] + 1


async def test_an_unclaimed_turn_is_cancelled_at_once(session: Service, pool: Pool) -> None:
    turn, other = await session.open_turn(), await session.open_turn()
    responses = await asyncio.gather(*(cancel(session, turn["id"]) for _ in range(5)))
    ended = responses[0].body
    assert all((response.status, response.body) == (200, ended) for response in responses)
    assert (ended["status"], ended["version"]) == ("cancelled", turn["version"] + 2)
    assert (ended["reply"]["status"], ended["reply"]["content"]) == ("cancelled", "")
    assert not (await session.claim(turn["id"], runner()))["claimed"]
    assert (await session.submit(turn["session_id"], "next"))["status"] == "running"
    open_turns = "SELECT count(*) FROM turns WHERE ended_sequence IS NULL"
    assert (await session.turn(other["id"]))["status"] == "running"
    assert await pool.fetchval(open_turns) == 2


async def test_a_turn_claimed_during_its_cancel_is_ended_by_its_runner(
    session: Service, pool: Pool
) -> None:
    turn, mine = await session.open_turn(), runner()

    class ClaimedOnceRead(TurnStore):
        async def find(self, turn_id: UUID) -> TurnRow:
            row = await super().find(turn_id)
            assert (await session.claim(turn["id"], mine))["claimed"]
            return row

    cancelling = components_on(pool, ClaimedOnceRead(pool))
    await cancelling.sessions.cancel(UUID(turn["id"]), Caller(ADA, "req-1"))
    assert (await session.turn(turn["id"]))["status"] == "running"
    assert await session.heartbeat(mine, turn["id"]) == {turn["id"]: "cancelled"}
    ended = (await session.complete(turn["id"], mine, content="Hello")).body
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "Hello")


async def test_a_turn_whose_claim_commits_during_the_append_of_a_cancel_is_ended_by_its_runner(
    session: Service, pool: Pool
) -> None:
    turn, mine = await session.open_turn(), uuid4()
    async with pool.acquire() as connection, connection.transaction():
        claiming = TurnStore(cast("Pool", connection))
        assert await claiming.claim(UUID(turn["id"]), mine, ADA)
        cancelling = asyncio.create_task(cancel(session, turn["id"]))
        await until_blocked(pool)
    assert (await cancelling).body["status"] == "running"
    assert await session.heartbeat(str(mine), turn["id"]) == {turn["id"]: "cancelled"}


async def test_cancelling_an_ended_turn_changes_nothing(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    ended = (await session.complete(turn["id"], mine)).body
    response = await cancel(session, turn["id"])
    assert (response.status, response.body) == (200, ended)


async def test_a_turn_of_somebody_else_or_an_unknown_one_is_not_cancelled(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    foreign = await cancel(session, turn["id"], who=EVE)
    unknown = await cancel(session, str(uuid4()))
    assert foreign.status == 404
    assert foreign.body["error"]["code"] == "turn_not_found"
    assert unknown.status == 404
    assert await session.heartbeat(mine, turn["id"]) == {}
