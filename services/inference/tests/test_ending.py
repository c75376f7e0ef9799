"""How a turn ends: committed first, told afterwards, whatever session does meanwhile."""

import asyncio

import pytest
from inference_peers.model_server import Stalls, chunk, reply

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually


async def test_the_reply_is_committed_before_its_end_is_told(inference, model_server, session):
    turn = session.opens()
    session.refuses["complete"] = (503, "down")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        assert await stream.until_text(4) == "kept"
        ending = asyncio.create_task(stream.event())
        await eventually(lambda: len(session.called("complete")) >= 3)
        assert not ending.done()
        assert turn.status == "running"
        session.refuses.clear()
        assert (await ending)["type"] == "reply.completed"
    assert turn.reply.content == "kept"
    assert {told["content"] for told in session.called("complete")} == {"kept"}


async def test_a_turn_that_waits_for_its_commit_is_named_and_readable(
    inference, model_server, session
):
    turn = session.opens()
    session.refuses["complete"] = (500, "broken")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        await eventually(lambda: len(session.called("complete")) >= 2)
        session.beats.clear()
        assert await eventually(lambda: session.beats) == [[str(turn.id)]]
        async with inference.stream(turn, after=1) as late:
            assert await late.until_text(3) == "ept"
            session.refuses.clear()
            assert (await late.event())["id"] == "end"


async def test_a_commit_whose_answer_is_unusable_is_tried_again(inference, model_server, session):
    turn = session.opens()
    session.refuses["complete"] = (200, "this is no turn")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        await eventually(lambda: len(session.called("complete")) >= 2)
        session.refuses.clear()
        assert (await stream.event())["type"] == "reply.completed"


async def test_a_turn_that_ended_otherwise_meanwhile_is_told_as_it_ended(
    inference, model_server, session
):
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("all of "), paused, *reply("it"))
    async with inference.stream(turn) as stream:
        await stream.until_text(7)
        turn.end("failed", "all")
        paused.set()
        events = await stream.events()
    assert events[-1]["type"] == "reply.failed"
    assert events[-1]["sequence_number"] == 3


@pytest.mark.parametrize(("status", "code"), [(403, "not_the_runner"), (404, "turn_not_found")])
async def test_a_turn_that_is_not_ours_to_end_is_followed_to_its_end(
    inference, model_server, session, status, code
):
    turn = session.opens()
    session.refuses["complete"] = (status, code)
    model_server.script(*reply("ours"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        await eventually(lambda: session.called("get"))
        turn.end("completed", "ours, longer", finish_reason="stop")
        *deltas, last = await stream.events()
    assert (text_of(deltas), last["type"]) == (", longer", "reply.completed")
    assert len(session.called("complete")) == 1


async def test_an_end_that_session_refuses_becomes_a_failure(inference, model_server, session):
    turn = session.opens()
    session.refuses["complete"] = (422, "invalid_request")
    model_server.script(*reply("unwanted"))
    events = await inference.events(turn)
    assert events[-1]["error"]["code"] == "internal"
    assert turn.status == "failed"


async def test_a_turn_that_session_lets_nobody_end_is_not_named_any_more(
    inference, model_server, session
):
    turn = session.opens()
    session.refuses |= {"complete": (422, "no"), "fail": (422, "no")}
    model_server.script(*reply("unwanted"))
    async with inference.stream(turn) as stream:
        await eventually(lambda: session.called("get"))
        session.beats.clear()
        turn.end("failed", "")
        assert (await stream.events())[-1]["type"] == "reply.failed"
    assert not any(session.beats)


async def test_a_cancelled_turn_stops_the_model_and_keeps_the_text(
    inference, model_server, session
):
    turn = session.opens()
    model_server.script(chunk("as far as "), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(10)
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        events = await stream.events()
    assert events[-1]["type"] == "reply.cancelled"
    assert turn.reply.content == "as far as "
    [told] = session.called("fail")
    assert (told["code"], told["partial_content"]) == ("cancelled", "as far as ")
    assert told["usage"] == {"prompt_tokens": 12, "completion_tokens": 3, "estimated": True}
    await eventually(lambda: model_server.open == 0)


async def test_a_turn_cancelled_before_the_model_answered_used_nothing(
    inference, model_server, session
):
    turn = session.opens()
    model_server.script(asyncio.Event())
    async with inference.stream(turn) as stream:
        await eventually(lambda: model_server.open)
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        await stream.events()
    [told] = session.called("fail")
    assert (told["usage"], told["price"], told["partial_content"]) == (None, None, None)


async def test_a_turn_that_is_not_ours_any_more_is_stopped_and_not_committed(
    inference, model_server, session
):
    turn = session.opens()
    model_server.script(chunk("too much"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(8)
        turn.end("failed", "too")
        session.stops = [{"turn_id": str(turn.id), "reason": "not_yours"}]
        events = await stream.events()
    assert events[-1]["type"] == "reply.failed"
    assert session.called("fail") == session.called("complete") == []
    await eventually(lambda: model_server.open == 0)


async def test_one_heartbeat_names_all_running_turns_and_only_them(
    inference, model_server, session
):
    turns = [session.opens() for _ in range(3)]
    paused = asyncio.Event()
    for _ in turns:
        model_server.script(chunk("a"), paused, *reply("b"))
    reading = [asyncio.create_task(inference.events(turn)) for turn in turns]
    names = sorted(str(turn.id) for turn in turns)
    await eventually(lambda: session.beats and sorted(session.beats[-1]) == names)
    paused.set()
    await asyncio.gather(*reading)
    model_server.script(chunk("a"), Stalls())
    other = session.opens()
    async with inference.stream(other) as stream:
        await stream.until_text(1)
        # One that was on its way may still name those that have ended.
        await eventually(lambda: session.beats[-1] == [str(other.id)])


async def test_heartbeats_go_on_after_session_was_away(inference, model_server, session):
    turn = session.opens()
    model_server.script(chunk("a"), Stalls())
    session.refuses["heartbeat"] = (503, "down")
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        await eventually(lambda: len(session.beats) > 2)
        session.refuses.clear()
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        assert (await stream.events())[-1]["type"] == "reply.cancelled"


async def test_a_replica_of_session_that_is_stuck_holds_no_heartbeat_up_for_long(
    start, model_server, session
):
    inference = await start(inference_heartbeat_answer_seconds=0.1)
    turn = session.opens()
    model_server.script(chunk("a"), Stalls())
    session.stuck_beats = {1, 2}
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        session.stops = [{"turn_id": str(turn.id), "reason": "cancelled"}]
        async with asyncio.timeout(2):
            assert (await stream.events())[-1]["type"] == "reply.cancelled"
