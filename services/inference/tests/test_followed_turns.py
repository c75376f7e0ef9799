"""A turn that this process does not run: it has ended, or another process runs it."""

from parley_contracts import turn_sse as sse
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually


async def test_a_turn_that_had_ended_is_replayed_from_what_session_stored(
    inference, model_server, session
):
    turn = session.opens()
    turn.end("completed", "stored", model="demo", finish_reason="stop")
    async with inference.stream(turn, after=2) as stream:
        await stream.events()
    assert stream.raw == b"".join(sse.replay(turn.shape(), 2))
    assert model_server.asked == []


async def test_a_turn_of_another_process_is_open_at_once_and_ends_when_it_ended(inference, session):
    turn = session.opens(runner="another")
    async with inference.stream(turn) as stream:
        assert stream.response.status == 200
        turn.end("completed", "made elsewhere", model="demo", finish_reason="stop")
        *deltas, last = await stream.events()
    assert text_of(deltas) == "made elsewhere"
    assert last["type"] == "reply.completed"


async def test_a_turn_of_another_process_is_followed_while_session_is_away(inference, session):
    turn = session.opens(runner="another")
    async with inference.stream(turn) as stream:
        session.refuses["get"] = (503, "down")
        await eventually(lambda: len(session.called("get")) > 3)
        del session.refuses["get"]
        turn.end("failed", "par")
        *deltas, last = await stream.events()
    assert (text_of(deltas), last["type"]) == ("par", "reply.failed")


async def test_nobody_asks_for_a_turn_of_another_process_once_nobody_reads_it(inference, session):
    turn, looks = session.opens(runner="another"), []
    async with inference.stream(turn) as stream:
        assert stream.response.status == 200
    await eventually(lambda: is_constant(len(session.called("get")), looks))
    async with inference.stream(turn) as stream:
        assert stream.response.status == 200
    assert len(session.called("claim")) == 2


def is_constant(number, looks):
    looks.append(number)
    return len(looks) > 40 and len(set(looks[-40:])) == 1


async def test_a_followed_turn_that_is_gone_ends_its_stream_without_an_end(inference, session):
    turn = session.opens(runner="another")
    async with inference.stream(turn) as stream:
        del session.turns[turn.id]
        assert await stream.events() == []
