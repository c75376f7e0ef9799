"""Graceful shutdown: what is finished, interrupted or given up, and when."""

import asyncio

from inference_fakes.inference import Start
from inference_fakes.model_server import ModelServer, Stalls, chunk, reply

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_shutdown_claims_no_turn_and_finishes_running_ones(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start()
    turn, other = session.open_turn(), session.open_turn()
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


async def test_a_reply_without_subscribers_is_finished_before_the_exit(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start()
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("be"), paused, *reply("fore"))
    async with inference.stream(turn) as stream:
        await stream.until_text(2)
    inference.app.state.begin_drain()
    inference.server.stop()
    await eventually(lambda: not inference.server.servers[0].is_serving())
    paused.set()
    await eventually(lambda: turn.status == "completed")
    assert turn.reply.content == "before"


async def test_a_reply_beyond_the_deadline_is_interrupted_with_its_partial_text(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start()
    turn = session.open_turn()
    model_server.script(chunk("half"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        inference.app.state.begin_drain()
        inference.server.stop()
        [last] = await stream.events()
    assert (last["type"], last["error"]["code"]) == ("reply.failed", "interrupted")
    assert turn.reply.content == "half"


async def test_streams_of_followed_turns_end_at_once(
    start: Start, session: FakeSessionService
) -> None:
    inference = await start(drain={"seconds": 60})
    async with inference.stream(session.open_turn(runner="another")) as elsewhere:
        inference.app.state.begin_drain()
        async with asyncio.timeout(15):
            assert await elsewhere.events() == []


async def test_the_exit_does_not_wait_for_an_unavailable_session(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start()
    turn = session.open_turn()
    session.errors["complete"] = (503, "down")
    model_server.script(*reply("kept"))
    async with inference.stream(turn) as stream:
        await stream.until_text(4)
        inference.app.state.begin_drain()
        inference.server.stop()
        async with asyncio.timeout(15):
            assert await stream.events() == []
