"""A turn's buffer in Redis: sealed, expiring, deleted after an erasure, kept until the commit."""

import asyncio
import gc
from typing import Any

import pytest
from inference_fakes.inference import Start
from inference_fakes.model_server import Disconnects, ModelServer, chunk, reply
from inference_fakes.turn_buffer import buffer_of

from parley_core.streaming.turn_buffer import buffer_name
from parley_inference.streaming import buffer_writer, live_turn_registry
from parley_inference.streaming.live_turn import LiveTurn
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import StoredTurn


async def test_redis_stores_no_plaintext_and_buffers_expire(
    start: Start, model_server: ModelServer, session: FakeSessionService, redis_url: str, redis: Any
) -> None:
    runner = await start(redis={"url": redis_url})
    turn = session.open_turn("private question")
    model_server.script(*(chunk(word) for word in ("private ", "answer ")), *reply("demo"))
    await runner.events(turn)
    name = buffer_name(turn.id)
    await eventually(lambda: has_end_marker(redis, turn))
    stored = repr(await redis.xrange(name)).encode() + await redis.dump(name)
    for word in (b"private", b"answer", b"demo", b"ada", b"prompt", turn.key.secret):
        assert word not in stored
    assert 0 < await redis.ttl(name) <= 90


async def has_end_marker(redis: Any, turn: StoredTurn) -> bool:
    reader, _ = await buffer_of(redis, turn)
    return reader.ended


async def test_the_buffers_of_an_erased_session_are_deleted(
    only_through_redis: None,
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
    end_of_test: asyncio.Event,
) -> None:
    runner, other = [await start(redis={"url": redis_url}) for _ in range(2)]
    turn = session.open_turn()
    model_server.script(chunk("to be erased"), end_of_test, Disconnects())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(5)
        await stream.until_text(5)
        session.erased = {turn.session_id}
        del session.turns[turn.id]
        assert await stream.events() == []
        await eventually(lambda: is_deleted(redis, turn))


async def is_deleted(redis: Any, turn: StoredTurn) -> bool:
    return not await redis.exists(buffer_name(turn.id))


async def test_buffers_are_flushed_before_the_process_exits(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
    end_of_test: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_writer, "INTERVAL_SECONDS", 60)
    runner, turn = await start(redis={"url": redis_url}, drain={"seconds": 1}), session.open_turn()
    model_server.script(chunk("as far as "), chunk("it went"), end_of_test, Disconnects())
    async with runner.stream(turn) as stream:
        await stream.until_text(17)
        _, text = await buffer_of(redis, turn)
        assert text == "", "flushed already: the test proves nothing"
        runner.app.state.begin_drain()
        assert (await stream.events())[-1]["error"]["code"] == "interrupted"
    runner.server.stop()
    await eventually(lambda: has_end_marker(redis, turn))


async def test_an_uncommitted_reply_stays_in_the_buffer(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
    end_of_test: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_writer, "INTERVAL_SECONDS", 60)
    runner = await start(redis={"url": redis_url})
    turn = session.open_turn()
    session.errors["fail"] = (503, "down")
    model_server.script(chunk("as far as "), chunk("it went"), end_of_test, Disconnects())
    async with runner.stream(turn) as stream:
        await stream.until_text(17)
        runner.app.state.begin_drain()
        assert await stream.events() == []
    runner.server.stop()

    async def is_left() -> bool:
        reader, text = await buffer_of(redis, turn)
        return text == "as far as it went" and not reader.ended

    await eventually(is_left)


async def test_an_ended_turn_is_freed_before_the_cycle_collector_runs(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_turn_registry, "ENDED_TTL_SECONDS", 0.01)
    runner = await start(redis={"url": redis_url})
    gc.collect()
    gc.disable()
    try:
        turn = session.open_turn()
        model_server.script(*reply("An answer."))
        await runner.events(turn)
        await eventually(lambda: turn.id not in _live_turns())
    finally:
        gc.enable()


def _live_turns() -> set[Any]:
    """The ids of all turns in memory, also of those that only the collector would free."""
    return {each.id for each in gc.get_objects() if isinstance(each, LiveTurn)}
