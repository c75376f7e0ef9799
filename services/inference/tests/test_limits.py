"""What a process takes on, how long it keeps it, and how it stops."""

import asyncio

from inference_peers.model_server import Stalls, chunk, reply

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually


async def test_beyond_the_limit_of_turns_nothing_is_claimed(start, model_server, session):
    inference = await start(inference_turns=1)
    first, second, ended = session.opens(), session.opens(), session.opens()
    ended.end("completed", "old", finish_reason="stop")
    paused = asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    async with inference.stream(first) as stream:
        await stream.until_text(1)
        async with inference.stream(second) as refused:
            assert refused.response.status == 503
            assert refused.response.headers["retry-after"] == "1"
            assert (await refused.response.json())["error"]["code"] == "inference_busy"
        assert second.runner is None
        # What asks for no new run is still served.
        assert text_of(await inference.events(ended)) == "old"
        async with inference.stream(first, after=0) as again:
            assert await again.until_text(1) == "a"
        paused.set()
        await stream.events()
    model_server.script(*reply("now"))
    assert text_of(await inference.events(second)) == "now"


async def test_beyond_the_limit_of_streams_nobody_reads(start, model_server, session):
    inference = await start(inference_streams=1)
    turn = session.opens()
    model_server.script(chunk("a"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        assert await inference.error(turn.id) == (503, "inference_busy")


async def test_an_ended_turn_is_kept_for_its_time_and_then_asked_for_again(
    start, model_server, session
):
    inference = await start(inference_ended_seconds=0.05)
    turn = session.opens()
    model_server.script(*reply("a"))
    before = await inference.events(turn)

    async def is_asked_for_again():
        assert await inference.events(turn) == before
        return len(session.called("claim")) > 1

    await eventually(is_asked_for_again)
    assert len(model_server.asked) == 1


async def test_only_the_last_ended_turns_are_kept(start, model_server, session):
    inference = await start(inference_ended_turns=2)
    turns = [session.opens() for _ in range(3)]
    for turn in turns:
        model_server.script(*reply("a"))
        await inference.events(turn)
    for turn in turns:
        await inference.events(turn)
    assert len(session.called("claim")) == 4


async def test_when_told_to_stop_it_claims_nothing_and_finishes_what_it_runs(
    start, model_server, session
):
    inference = await start()
    turn, other = session.opens(), session.opens()
    paused = asyncio.Event()
    model_server.script(chunk("be"), paused, *reply("fore"))
    async with inference.stream(turn) as stream:
        await stream.until_text(2)
        inference.app.state.begin_drain()
        async with inference.request("GET", "/readyz", principal=None) as ready:
            assert ready.status == 503
        assert await inference.error(other.id) == (503, "inference_busy")
        assert other.runner is None
        inference.server.stop()
        paused.set()
        *deltas, last = await stream.events()
    assert (text_of(deltas), last["type"]) == ("fore", "reply.completed")


async def test_a_reply_that_nobody_reads_is_finished_before_the_exit(start, model_server, session):
    inference = await start()
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("be"), paused, *reply("fore"))
    async with inference.stream(turn) as stream:
        await stream.until_text(2)
    inference.app.state.begin_drain()
    inference.server.stop()
    await eventually(lambda: not inference.server.servers[0].is_serving())
    paused.set()
    await eventually(lambda: turn.status == "completed")
    assert turn.reply.content == "before"


async def test_a_reply_over_the_limit_of_the_exit_is_ended_with_what_there_is(
    start, model_server, session
):
    inference = await start()
    turn = session.opens()
    model_server.script(chunk("half"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        inference.app.state.begin_drain()
        inference.server.stop()
        [last] = await stream.events()
    assert (last["type"], last["error"]["code"]) == ("reply.failed", "interrupted")
    assert turn.reply.content == "half"


async def test_who_reads_a_turn_of_another_process_is_let_go_at_once(start, session):
    inference = await start(inference_drain_seconds=60)
    async with inference.stream(session.opens(runner="another")) as elsewhere:
        inference.app.state.begin_drain()
        async with asyncio.timeout(5):
            assert await elsewhere.events() == []


async def test_the_exit_does_not_wait_for_a_session_that_is_away(start, model_server, session):
    inference = await start()
    turn = session.opens()
    session.refuses["complete"] = (503, "down")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        inference.app.state.begin_drain()
        inference.server.stop()
        async with asyncio.timeout(5):
            assert await stream.events() == []
