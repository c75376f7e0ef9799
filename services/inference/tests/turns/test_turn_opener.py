"""Streams over the limit, and how long ended turns stay readable."""

import pytest
from inference_fakes.inference import Start
from inference_fakes.model_server import ModelServer, Stalls, chunk, reply

from parley_inference.streaming import live_turn_registry
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_streams_beyond_the_limit_are_rejected_but_their_turns_run(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(max_streams=1)
    turn, other = session.open_turn(), session.open_turn()
    model_server.script(chunk("a"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        assert await inference.error(turn.id) == (503, "inference_busy")
        model_server.script(*reply("b"))
        assert await inference.error(other.id) == (503, "inference_busy")
        await eventually(lambda: other.status == "completed")


async def test_an_ended_turn_is_cached_until_it_expires(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_turn_registry, "ENDED_TTL_SECONDS", 0.05)
    inference = await start()
    turn = session.open_turn()
    model_server.script(*reply("a"))
    before = await inference.events(turn)

    async def is_claimed_again() -> bool:
        assert await inference.events(turn) == before
        return len(session.called("claim")) > 1

    await eventually(is_claimed_again)
    assert len(model_server.requests) == 1


async def test_only_the_last_ended_turns_are_cached(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_turn_registry, "MAX_ENDED_BYTES", 10_000)
    inference = await start()
    turns = [session.open_turn() for _ in range(3)]
    for turn in turns:
        model_server.script(*reply("a"))
        await inference.events(turn)
    for turn in turns:
        await inference.events(turn)
    assert len(session.called("claim")) == 4
