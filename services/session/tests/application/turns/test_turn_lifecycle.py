"""Claiming, running and ending turns, over HTTP."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA, ApiResponse
from session_support.components import Components, components_on, deletion_on
from session_support.service import Service
from session_support.sessions import runner

from parley_core.auth.caller import Caller
from parley_core.storage.postgres_pool import Pool
from parley_session.domain.session.commands import CompleteReply
from parley_session.storage.turn_store import StoredTurn, TurnStore

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "estimated": True}


PRICE = {"currency": "EUR", "prompt": 100, "completion": 400}


async def ends(pool: Pool) -> list[str]:
    rows = await pool.fetch(
        """
        SELECT type FROM events WHERE type SIMILAR TO '%.reply_(completed|failed|cancelled).v1'
        ORDER BY time
        """
    )
    return [row["type"].split(".")[2] for row in rows]


async def test_a_completed_turn_has_its_reply(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    response = await session.complete(
        turn["id"], mine, content="Grüße 🎈", finish_reason="length", usage=USAGE, price=PRICE
    )
    assert response.status == 200
    ended = response.body
    assert (ended["status"], ended["version"], ended["reply_id"]) == (
        "completed",
        4,
        turn["reply_id"],
    )
    reply = ended["reply"]
    assert (reply["id"], reply["content"], reply["status"]) == (
        turn["reply_id"],
        "Grüße 🎈",
        "completed",
    )
    assert (reply["model"], reply["finish_reason"]) == ("demo", "length")
    assert reply["usage"] == USAGE | {"total_tokens": 9}
    assert await session.turn(turn["id"]) == ended


async def test_the_price_of_a_reply_is_in_its_event(session: Service, pool: Pool) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    await session.complete(turn["id"], mine, usage=USAGE, price=PRICE)
    stored = await pool.fetchval("SELECT data->'price' FROM events WHERE sequence = 4")
    assert json.loads(stored) == PRICE


async def test_a_failed_turn_has_its_error_and_partial_reply(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    response = await session.fail(
        turn["id"], mine, details="Too slow.", partial_content="He", usage=USAGE
    )
    ended = response.body
    assert (ended["status"], ended["reply"]["status"]) == ("failed", "failed")
    assert ended["error"] == {
        "message": "Too slow.",
        "type": "server_error",
        "param": None,
        "code": "upstream_timeout",
    }
    assert ended["reply"]["content"] == "He"
    assert await session.turn(turn["id"]) == ended


async def test_a_failed_turn_needs_nothing_but_a_code(session: Service) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    ended = (await session.fail(turn["id"], mine)).body
    assert (ended["error"]["message"], ended["reply"]["content"]) == ("The reply failed.", "")


async def test_only_the_runner_ends_a_turn(session: Service, pool: Pool) -> None:
    turn, unclaimed = await session.open_turn(), await session.open_turn()
    await session.claim(turn["id"], runner())
    for turn_id in (turn["id"], unclaimed["id"]):
        for response in (
            await session.complete(turn_id, runner()),
            await session.fail(turn_id, runner()),
        ):
            assert response.error == (403, "not_the_runner", None)
    assert await ends(pool) == []


async def test_the_end_of_a_turn_does_not_read_again_what_its_claim_has_read(
    session: Service, pool: Pool
) -> None:
    class CountedReads(TurnStore):
        count = 0

        async def find_in_session(self, turn_id: UUID) -> StoredTurn:
            self.count += 1
            return await super().find_in_session(turn_id)

    turns, mine = CountedReads(pool), uuid4()
    lifecycle = components_on(pool, turns).lifecycle
    turn = UUID((await session.open_turn())["id"])
    await lifecycle.claim(turn, mine, ADA, cached=None, budgets={})
    command = CompleteReply(turn, "Hello", "stop", first_token_ms=1, total_ms=2)
    ended = await lifecycle.end(command, mine, Caller(ADA, "req-1"))
    assert (ended.status, turns.count) == ("completed", 0)
    assert await lifecycle.end(command, mine, Caller(ADA, "req-2")) == ended
    assert turns.count == 1


async def test_a_turn_whose_session_another_process_erased_has_no_end(
    session: Service, pool: Pool
) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    await deletion_on(pool).erase(UUID(turn["session_id"]), "operator", Caller(ADA, "job"))
    response = await session.complete(turn["id"], mine)
    assert response.error == (404, "turn_not_found", None)
    assert await ends(pool) == ["reply_cancelled"]


async def test_an_unknown_turn_has_no_end(session: Service) -> None:
    for response in (
        await session.complete(str(uuid4()), runner()),
        await session.fail(str(uuid4()), runner()),
    ):
        assert response.error == (404, "turn_not_found", None)


async def test_ending_a_turn_twice_returns_how_it_ended(session: Service, pool: Pool) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    first = await session.complete(turn["id"], mine, content="one")
    for repeated in (
        await session.complete(turn["id"], mine, content="two"),
        await session.fail(turn["id"], mine),
    ):
        assert (repeated.status, repeated.body) == (200, first.body)
    assert await ends(pool) == ["reply_completed"]


async def test_one_of_concurrent_ends_is_stored(session: Service, pool: Pool) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    calls: list[Any] = []
    for number in range(5):
        calls.append(session.complete(turn["id"], mine, content=str(number)))
        calls.append(session.fail(turn["id"], mine, partial_content=str(number)))
    responses: list[ApiResponse] = await asyncio.gather(*calls)
    assert {response.status for response in responses} == {200}
    assert all(response.body == responses[0].body for response in responses)
    assert len(await ends(pool)) == 1


async def test_a_reply_that_fits_no_event_is_rejected_and_the_turn_continues(
    session: Service, pool: Pool
) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    for response in (
        await session.complete(turn["id"], mine, content="x" * 600 * 1024),
        await session.fail(turn["id"], mine, partial_content="x" * 600 * 1024),
    ):
        assert response.error == (413, "reply_too_large", None)
    assert await ends(pool) == []
    assert (await session.fail(turn["id"], mine, code="internal")).body["status"] == "failed"


async def test_a_heartbeat_returns_the_turns_to_stop(
    session: Service, components: Components
) -> None:
    mine = runner()
    turns = [await session.open_turn() for _ in range(7)]
    runs, cancelled, ended, cancelled_and_ended, others, others_cancelled, unclaimed = turns
    for turn in (runs, cancelled, ended, cancelled_and_ended):
        await session.claim(turn["id"], mine)
    for turn in (others, others_cancelled):
        await session.claim(turn["id"], runner())
    for turn in (cancelled, cancelled_and_ended, others_cancelled):
        await components.cancel(turn)
    for turn in (ended, cancelled_and_ended):
        await session.complete(turn["id"], mine)
    unknown, named = str(uuid4()), [turn["id"] for turn in turns]
    assert await session.heartbeat(mine, *named, unknown) == {
        cancelled["id"]: "cancelled",
        ended["id"]: "not_yours",
        cancelled_and_ended["id"]: "not_yours",
        others["id"]: "not_yours",
        others_cancelled["id"]: "not_yours",
        unclaimed["id"]: "not_yours",
        unknown: "not_yours",
    }


async def test_a_heartbeat_replaces_the_previous_list(session: Service, pool: Pool) -> None:
    mine, turns = runner(), [str(uuid4()), str(uuid4())]
    await session.heartbeat(mine, *turns)
    await session.heartbeat(mine, turns[1])
    [row] = await pool.fetch("SELECT * FROM runners WHERE id = $1", UUID(mine))
    assert (str(row["id"]), [str(turn) for turn in row["turns"]]) == (mine, turns[1:])


async def test_a_heartbeat_may_name_ten_thousand_turns(session: Service) -> None:
    named = [str(uuid4()) for _ in range(10_000)]
    assert len(await session.heartbeat(runner(), *named)) == 10_000


@pytest.mark.parametrize("ending", ["complete", "fail"])
async def test_after_a_cancel_a_turn_ends_as_cancelled(
    session: Service, components: Components, pool: Pool, ending: str
) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    await components.cancel(turn)
    if ending == "complete":
        response = await session.complete(turn["id"], mine, content="He")
    else:
        response = await session.fail(turn["id"], mine, partial_content="He", details="d")
    ended = response.body
    assert (response.status, ended["status"], ended["version"]) == (200, "cancelled", 5)
    assert (ended["reply"]["status"], ended["reply"]["content"]) == ("cancelled", "He")
    assert "error" not in ended
    assert await ends(pool) == ["reply_cancelled"]
    assert await session.turn(turn["id"]) == ended


async def test_a_late_cancel_changes_nothing(session: Service, components: Components) -> None:
    turn, mine = await session.open_turn(), runner()
    await session.claim(turn["id"], mine)
    ended = (await session.complete(turn["id"], mine)).body
    await components.cancel(turn)
    assert await session.turn(turn["id"]) == ended
