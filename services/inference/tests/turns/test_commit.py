"""A turn is committed before its end is streamed, whatever session does meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import pytest
from inference_fakes.inference import Inference
from inference_fakes.model_server import ModelServer, Stalls, chunk, reply

from parley_contracts.api_models import Turn
from parley_core.http.errors import InvalidRequest
from parley_events.values import Usage
from parley_inference.models.outcome import Completed, Failed, ReplyOutcome
from parley_inference.session import client
from parley_inference.session.client import SessionClient
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.turns.commit import commit
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_the_reply_is_committed_before_its_end_is_streamed(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    session.errors["complete"] = (503, "down")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        assert await stream.until_text(4) == "kept"
        end_event = asyncio.create_task(stream.event())
        await eventually(lambda: len(session.called("complete")) >= 3)
        assert not end_event.done()
        assert turn.status == "running"
        session.errors.clear()
        assert (await end_event or {})["type"] == "reply.completed"
    assert turn.reply.content == "kept"
    assert {body["content"] for body in session.called("complete")} == {"kept"}


async def test_an_uncommitted_turn_is_reported_in_heartbeats_and_readable(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    session.errors["complete"] = (500, "broken")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        await eventually(lambda: len(session.called("complete")) >= 2)
        session.heartbeats.clear()
        assert await eventually(lambda: session.heartbeats) == [[str(turn.id)]]
        async with inference.stream(turn, after=1) as late:
            assert await late.until_text(3) == "ept"
            session.errors.clear()
            assert (await late.event() or {})["id"] == "end"


async def test_a_commit_with_an_invalid_response_is_retried(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    session.errors["complete"] = (200, "this is no turn")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        await eventually(lambda: len(session.called("complete")) >= 2)
        session.errors.clear()
        assert (await stream.event() or {})["type"] == "reply.completed"


async def test_a_turn_that_ended_otherwise_meanwhile_streams_that_end(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("all of "), paused, *reply("it"))
    async with inference.stream(turn) as stream:
        await stream.until_text(7)
        turn.end("failed", "all")
        paused.set()
        events = await stream.events()
    assert events[-1]["type"] == "reply.failed"
    assert events[-1]["sequence_number"] == 3


@pytest.mark.parametrize(("status", "code"), [(403, "not_the_runner"), (404, "turn_not_found")])
async def test_a_turn_that_is_no_longer_owned_is_followed_to_its_end(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    status: int,
    code: str,
) -> None:
    turn = session.open_turn()
    session.errors["complete"] = (status, code)
    model_server.script(*reply("ours"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        await eventually(lambda: session.called("get"))
        turn.end("completed", "ours, longer", finish_reason="stop")
        *deltas, last = await stream.events()
    assert (text_of(deltas), last["type"]) == (", longer", "reply.completed")
    assert len(session.called("complete")) == 1


async def test_an_outcome_that_session_rejects_becomes_a_failure(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    session.errors["complete"] = (422, "invalid_request")
    model_server.script(*reply("unwanted"))
    events = await inference.events(turn)
    assert events[-1]["error"]["code"] == "internal"
    assert turn.status == "failed"
    [rejected] = session.called("complete")
    [failed] = session.called("fail")
    assert failed["usage"] == rejected["usage"]
    assert turn.reply.usage.total_tokens > 0


async def test_a_usage_that_session_rejects_does_not_keep_the_turn_open() -> None:
    tried: list[ReplyOutcome] = []

    class Rejecting:
        async def end_turn(self, _: UUID, outcome: ReplyOutcome, __: str) -> Turn:
            tried.append(outcome)
            raise InvalidRequest("No.")

    session, live = cast(SessionClient, Rejecting()), cast(LiveTurn, SimpleNamespace(id=uuid4()))
    usage, price = Usage(prompt_tokens=3, completion_tokens=2), None
    whole = Completed("unwanted", "stop", 1, 2, usage, price, model="other")
    assert await commit(session, live, whole, request_id="r") is None
    assert tried == [
        whole,
        Failed("internal", usage=usage, price=price, model="other"),
        Failed("internal"),
    ]


async def test_a_turn_that_cannot_be_ended_is_no_longer_reported(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    session.errors |= {"complete": (422, "no"), "fail": (422, "no")}
    model_server.script(*reply("unwanted"))
    async with inference.stream(turn) as stream:
        await eventually(lambda: session.called("get"))
        session.heartbeats.clear()
        turn.end("failed", "")
        assert (await stream.events())[-1]["type"] == "reply.failed"
    assert not any(session.heartbeats)


async def test_cancelling_a_turn_stops_the_model_and_keeps_the_partial_text(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("as far as "), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(10)
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        events = await stream.events()
    assert events[-1]["type"] == "reply.cancelled"
    assert turn.reply.content == "as far as "
    [body] = session.called("fail")
    assert (body["code"], body["partial_content"]) == ("cancelled", "as far as ")
    assert body["usage"] == {"prompt_tokens": 12, "completion_tokens": 3, "estimated": True}
    await eventually(lambda: model_server.open == 0)


async def test_a_turn_cancelled_before_the_model_answered_is_not_charged(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(asyncio.Event())
    async with inference.stream(turn) as stream:
        await eventually(lambda: model_server.open)
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        await stream.events()
    [body] = session.called("fail")
    assert not {"usage", "price", "partial_content"} & body.keys()


async def test_a_turn_of_another_runner_is_stopped_and_not_committed(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("too much"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(8)
        turn.end("failed", "too")
        session.stops = [{"turn_id": str(turn.id), "reason": "not_yours"}]
        events = await stream.events()
    assert events[-1]["type"] == "reply.failed"
    assert session.called("fail") == session.called("complete") == []
    await eventually(lambda: model_server.open == 0)


async def test_a_heartbeat_reports_exactly_the_running_turns(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turns = [session.open_turn() for _ in range(3)]
    paused = asyncio.Event()
    for _ in turns:
        model_server.script(chunk("a"), paused, *reply("b"))
    reading = [asyncio.create_task(inference.events(turn)) for turn in turns]
    names = sorted(str(turn.id) for turn in turns)
    await eventually(lambda: session.heartbeats and sorted(session.heartbeats[-1]) == names)
    paused.set()
    await asyncio.gather(*reading)
    model_server.script(chunk("a"), Stalls())
    other = session.open_turn()
    async with inference.stream(other) as stream:
        await stream.until_text(1)
        # A heartbeat already under way may still report the ended turns.
        await eventually(lambda: session.heartbeats[-1] == [str(other.id)])


async def test_heartbeats_resume_after_an_outage_of_session(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("a"), Stalls())
    session.errors["heartbeat"] = (503, "down")
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        await eventually(lambda: len(session.heartbeats) > 2)
        session.errors.clear()
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        assert (await stream.events())[-1]["type"] == "reply.cancelled"


async def test_a_stuck_replica_of_session_delays_heartbeats_only_briefly(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "HEARTBEAT_TIMEOUT_SECONDS", 0.1)
    turn = session.open_turn()
    model_server.script(chunk("a"), Stalls())
    session.stuck_heartbeats = {1, 2}
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        async with asyncio.timeout(15):
            assert (await stream.events())[-1]["type"] == "reply.cancelled"
