"""Turns beyond the limit of the process: claimed, reported in heartbeats, run when one ends."""

import asyncio

import pytest
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import ModelServer, Stalls, chunk, reply

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import StoredTurn


@pytest.fixture
async def inference(start: Start) -> Inference:
    return await start(max_turns=1)


def reported(session: FakeSessionService, *turns: StoredTurn) -> bool:
    return set(session.heartbeats[-1]) == {str(turn.id) for turn in turns}


async def test_a_turn_beyond_the_limit_waits_and_then_runs(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    first, second = session.open_turn(), session.open_turn()
    paused = asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    model_server.script(*reply("second"))
    async with inference.stream(first) as stream, inference.stream(second) as waiting:
        await stream.until_text(1)
        assert waiting.response.status == 200
        await eventually(lambda: reported(session, first, second))
        assert len(model_server.requests) == 1
        paused.set()
        assert text_of(await waiting.events()) == "second"
    assert (first.status, second.status) == ("completed", "completed")


async def test_waiting_turns_run_in_the_order_in_which_they_came(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    paused = asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    turns = [session.open_turn(f"question {number}") for number in range(4)]
    for _ in turns[1:]:
        model_server.script(*reply("c"))
    for turn in turns:
        async with inference.stream(turn) as stream:
            assert stream.response.status == 200
    paused.set()
    await eventually(lambda: all(turn.status == "completed" for turn in turns))
    asked = [request["messages"][-1]["content"] for request in model_server.requests]
    assert asked == [turn.question for turn in turns]


async def test_a_waiting_turn_is_cancelled_without_a_call_to_the_model(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    first, second = session.open_turn(), session.open_turn()
    model_server.script(chunk("a"), Stalls())
    async with inference.stream(first) as stream, inference.stream(second) as waiting:
        await stream.until_text(1)
        session.stops = [{"turn_id": str(second.id), "reason": "cancelled"}]
        [end] = await waiting.events()
    assert end["type"] == "reply.cancelled"
    assert len(model_server.requests) == 1


async def test_a_waiting_turn_that_is_not_owned_any_more_leaves_its_place_to_the_next(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    first, lost, third = (session.open_turn() for _ in range(3))
    paused = asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    model_server.script(*reply("third"))
    async with inference.stream(first) as stream, inference.stream(lost) as waiting:
        await stream.until_text(1)
        async with inference.stream(third) as next_waiting:
            session.stops = [{"turn_id": str(lost.id), "reason": "not_yours"}]
            await eventually(lambda: reported(session, first, third))
            lost.end("completed", "elsewhere", finish_reason="stop")
            assert text_of(await waiting.events()) == "elsewhere"
            paused.set()
            assert text_of(await next_waiting.events()) == "third"


async def test_a_turn_that_cannot_be_generated_waits_for_nothing(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    first, unknown = session.open_turn(), session.open_turn(model="unknown")
    model_server.script(chunk("a"), Stalls())
    async with inference.stream(first) as stream:
        await stream.until_text(1)
        assert (await inference.events(unknown))[-1]["error"]["code"] == "model_unknown"


async def test_the_process_reports_its_capacity_while_idle_and_none_once_it_stops(
    inference: Inference, session: FakeSessionService
) -> None:
    await eventually(lambda: session.capacity == 1)
    assert session.heartbeats[-1] == []
    inference.app.state.begin_drain()
    await eventually(lambda: session.capacity == 0)


async def test_the_last_heartbeat_before_the_exit_reports_no_capacity(
    start: Start, session: FakeSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = await start(max_turns=3)
    await eventually(lambda: session.capacity == 3)
    monkeypatch.setattr("parley_inference.turns.heartbeat.INTERVAL_SECONDS", 60)
    inference.server.stop()
    await eventually(lambda: session.capacity == 0)
