"""Turns that this process does not run: ended ones, and those of other processes."""

from inference_fakes.inference import Inference
from inference_fakes.model_server import ModelServer

from parley_contracts import turn_sse as sse
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_an_ended_turn_is_replayed_from_the_stored_reply(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    turn.end("completed", "stored", model="demo", finish_reason="stop")
    async with inference.stream(turn, after=2) as stream:
        await stream.events()
    assert stream.raw == b"".join(sse.replay(turn.shape(), 2))
    assert model_server.requests == []


async def test_a_turn_of_another_process_streams_its_end(
    inference: Inference, session: FakeSessionService
) -> None:
    turn = session.open_turn(runner="another")
    async with inference.stream(turn) as stream:
        assert stream.response.status == 200
        turn.end("completed", "made elsewhere", model="demo", finish_reason="stop")
        *deltas, last = await stream.events()
    assert text_of(deltas) == "made elsewhere"
    assert last["type"] == "reply.completed"


async def test_following_a_turn_survives_an_outage_of_session(
    inference: Inference, session: FakeSessionService
) -> None:
    turn = session.open_turn(runner="another")
    async with inference.stream(turn) as stream:
        session.errors["get"] = (503, "down")
        await eventually(lambda: len(session.called("get")) > 3)
        del session.errors["get"]
        turn.end("failed", "par")
        *deltas, last = await stream.events()
    assert (text_of(deltas), last["type"]) == ("par", "reply.failed")


async def test_following_stops_without_subscribers(
    inference: Inference, session: FakeSessionService
) -> None:
    turn = session.open_turn(runner="another")
    counts: list[int] = []
    async with inference.stream(turn) as stream:
        assert stream.response.status == 200
    await eventually(lambda: is_constant(len(session.called("get")), counts))
    async with inference.stream(turn) as stream:
        assert stream.response.status == 200
    assert len(session.called("claim")) == 2


def is_constant(number: int, counts: list[int]) -> bool:
    counts.append(number)
    return len(counts) > 40 and len(set(counts[-40:])) == 1


async def test_the_stream_of_a_deleted_turn_closes_without_an_end_event(
    inference: Inference, session: FakeSessionService
) -> None:
    turn = session.open_turn(runner="another")
    async with inference.stream(turn) as stream:
        del session.turns[turn.id]
        assert await stream.events() == []
