"""A message after an accepted cancel is accepted; `interrupt` cancels the open turn first."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ApiResponse
from session_support.service import Service

from parley_session.application.turns import stopped_turns


async def send(session: Service, session_id: str, content: str, **more: Any) -> ApiResponse:
    key = more.pop("key", None)
    body = {"content": content} | more
    return await session.call("POST", f"/sessions/{session_id}/messages", body, key=key)


async def running(session: Service) -> tuple[dict[str, Any], str]:
    turn, runner = await session.open_turn(), str(uuid4())
    assert (await session.claim(turn["id"], runner))["claimed"]
    return turn, runner


async def next_cancelled(session: Service, runner: str) -> list[str]:
    response = await session.read_as_inference(f"/runners/{runner}/cancelled-turns")
    assert response.status == 200, response.body
    return list(response.body["turns"])


async def test_a_waiting_runner_learns_of_a_cancel_through_any_process(serve: Any) -> None:
    one, other = await serve(), await serve()
    turn, runner = await running(one)
    waiting = asyncio.create_task(next_cancelled(other, runner))
    stranger = asyncio.create_task(next_cancelled(other, str(uuid4())))
    await asyncio.sleep(0)
    await one.call("POST", f"/turns/{turn['id']}/cancel")
    assert await waiting == [turn["id"]]
    # It is named until it has ended.
    assert await next_cancelled(one, runner) == [turn["id"]]
    await one.fail(turn["id"], runner, code="cancelled")
    assert await stranger == []


async def test_a_message_after_a_cancel_waits_for_the_runner_and_follows_the_stopped_reply(
    serve: Any,
) -> None:
    one, other = await serve(), await serve()
    turn, runner = await running(one)
    await one.call("POST", f"/turns/{turn['id']}/cancel")
    sent = asyncio.create_task(send(other, turn["session_id"], "Go on"))
    assert await next_cancelled(other, runner) == [turn["id"]]
    ended = (await one.fail(turn["id"], runner, code="cancelled", partial_content="Hel")).body
    response = await sent
    assert response.status == 201
    assert response.body["message"]["parent_message_id"] == ended["reply"]["id"]


@pytest.mark.parametrize("on_open_turn", ["reject", "interrupt"])
async def test_session_ends_the_turn_of_a_runner_that_does_not(
    serve: Any, on_open_turn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped_turns, "WAIT_SECONDS", 0.1)
    session = await serve()
    turn, runner = await running(session)
    if on_open_turn == "reject":
        await session.call("POST", f"/turns/{turn['id']}/cancel")
    response = await send(session, turn["session_id"], "Go on", on_open_turn=on_open_turn)
    assert response.status == 201
    ended = await session.turn(turn["id"])
    assert ended["status"] == "cancelled"
    assert response.body["message"]["parent_message_id"] == ended["reply"]["id"]
    # The runner comes second, and learns how the turn ended.
    assert (await session.complete(turn["id"], runner, content="Late")).body == ended


async def test_an_open_turn_rejects_a_message_unless_it_interrupts(session: Service) -> None:
    turn, _ = await running(session)
    for more in ({}, {"on_open_turn": "reject"}):
        rejected = await send(session, turn["session_id"], "Go on", **more)
        assert rejected.error[:2] == (409, "turn_open")
    assert (await session.turn(turn["id"]))["status"] == "running"
    wrong = {"parent_message_id": str(uuid4()), "on_open_turn": "interrupt"}
    refused = await send(session, turn["session_id"], "Go on", **wrong)
    assert refused.error == (400, "invalid_request", "parent_message_id")
    assert (await session.turn(turn["id"]))["status"] == "running"


async def test_a_message_that_interrupts_may_follow_the_reply_that_it_stops(
    session: Service,
) -> None:
    turn = await session.open_turn()
    response = await send(
        session,
        turn["session_id"],
        "Go on",
        parent_message_id=turn["reply_id"],
        on_open_turn="interrupt",
    )
    assert response.status == 201
    assert response.body["message"]["parent_message_id"] == turn["reply_id"]


async def test_regenerating_interrupts_the_open_turn(session: Service) -> None:
    turn = await session.open_turn()
    path = f"/sessions/{turn['session_id']}/regenerate"
    assert (await session.call("POST", path, {})).error[:2] == (409, "turn_open")
    response = await session.call("POST", path, {"on_open_turn": "interrupt"})
    assert response.status == 201
    assert response.body["message"]["id"] == turn["message"]["id"]
    assert (await session.turn(turn["id"]))["status"] == "cancelled"


async def test_a_retry_interrupts_nothing_and_may_differ_in_it(session: Service) -> None:
    turn, key = await session.open_turn(), uuid4().hex
    interrupt = {"on_open_turn": "interrupt", "key": key}
    first = await send(session, turn["session_id"], "Go on", **interrupt)
    repeated = await send(session, turn["session_id"], "Go on", **interrupt)
    without = await send(session, turn["session_id"], "Go on", key=key)
    assert (first.status, repeated.status, without.status) == (201, 200, 200)
    assert first.body == repeated.body == without.body
    assert first.body["status"] == "running"


async def test_waiting_requests_are_bounded(
    session: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, _ = await running(session)
    await session.call("POST", f"/turns/{turn['id']}/cancel")
    monkeypatch.setattr(stopped_turns, "MAX_WAITING", 0)
    response = await send(session, turn["session_id"], "Go on")
    assert response.error[:2] == (503, "session_busy")
