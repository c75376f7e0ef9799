"""One process streams a reply exactly while another one generates it, whatever Redis does."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import Disconnects, ModelServer, chunk, event, reply
from inference_fakes.turn_buffer import buffer_of
from prometheus_client.parser import text_string_to_metric_families

from parley_core.streaming.turn_buffer import buffer_name
from parley_inference.streaming import turn_buffering
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy
from parley_testing.session_service import FakeSessionService

TEXT = "Hél😀 wörld, "


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy.to(redis_url) as proxy:
        yield proxy


async def metrics(inference: Inference) -> dict[str, float]:
    async with inference.http.get(inference.url + "/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_another_process_streams_the_text_as_it_comes_and_then_the_end(
    only_through_redis: None,
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
) -> None:
    runner, other = [await start(redis={"url": redis_url}) for _ in range(2)]
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("Hél"), chunk("lo 😀"), paused, *reply("!", "?"))
    async with runner.stream(turn) as direct:
        await direct.until_text(7)
        async with other.stream(turn, after=1) as first, other.stream(turn, after=6) as second:
            assert await first.until_text(6) == "éllo 😀"
            assert await second.until_text(1) == "😀"
            assert (await metrics(other))["parley_inference_remote_turns"] == 1
            assert (await metrics(runner))["parley_inference_turns_in_flight"] == 1
            paused.set()
            for stream in (first, second):
                *deltas, last = await stream.events()
                assert text_of(deltas) == "!?"
                assert (last["id"], last["sequence_number"]) == ("end", 9)
        await direct.events()
    assert len(model_server.requests) == 1
    # Once, at the published end.
    assert len(session.called("get")) == 1


async def test_a_stream_cut_at_random_positions_resumes_exactly_in_any_process(
    only_through_redis: None,
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
) -> None:
    draw = random.Random(7)
    processes = [await start(redis={"url": redis_url}) for _ in range(3)]
    turn = session.open_turn()
    parts = [TEXT[: draw.randint(1, len(TEXT))] * draw.choice((1, 1, 40)) for _ in range(24)]
    gates = [asyncio.Event() for _ in parts]
    steps = [step for pair in zip(gates, map(chunk, parts), strict=True) for step in pair]
    model_server.script(*steps, *reply("."))
    text, given, seen = "".join(parts), "", ""
    while gates:
        if draw.random() < 0.2:
            await redis.delete(buffer_name(turn.id))
        for _ in range(min(len(gates), draw.randint(1, 3))):
            gates.pop(0).set()
            given += parts.pop(0)
        after = draw.choice((len(seen), draw.randint(0, len(seen))))
        async with draw.choice(processes).stream(turn, after) as stream:
            if gates:
                more = await stream.until_text(draw.randint(1, len(given) - after))
            else:
                more = text_of(await stream.events())
        assert (text + ".").startswith(more, after), f"differs after {after}"
        seen = text[: max(len(seen), after + len(more))]
    assert (seen, turn.reply.content) == (text, text + ".")


async def test_a_lost_buffer_is_rewritten_from_the_start(
    only_through_redis: None,
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
    end_of_test: asyncio.Event,
) -> None:
    runner, other = [await start(redis={"url": redis_url}) for _ in range(2)]
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("before "), paused, chunk("and after"), end_of_test, Disconnects())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(7)
        assert await stream.until_text(7) == "before "
        await redis.delete(buffer_name(turn.id))
        paused.set()
        assert await stream.until_text(9) == "and after"
    reader, text = await buffer_of(redis, turn)
    assert text == "before and after"
    assert reader.header is not None
    assert (reader.header.model, reader.header.prompt_tokens) == ("demo", 12)
    assert 600 < await redis.ttl(buffer_name(turn.id)) <= 720


async def test_no_stream_waits_for_a_silent_or_unreachable_redis(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_proxy: FaultyProxy,
    end_of_test: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_buffering, "REDIS_TIMEOUT_SECONDS", 0.2)
    runner, other = [await start(redis={"url": redis_proxy.database}) for _ in range(2)]
    turn, gates = session.open_turn(), [asyncio.Event() for _ in range(3)]
    steps = [step for gate in gates for step in (gate, chunk("text"))]
    model_server.script(*steps[1:], *reply("."))
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        assert await direct.until_text(4) == await stream.until_text(4) == "text"
        redis_proxy.silence()
        gates[1].set()
        async with asyncio.timeout(15):
            assert await direct.until_text(4) == "text"
        await eventually(lambda: failures(runner))
        redis_proxy.close()
        gates[2].set()
        for each, rest in ((direct, "text."), (stream, "texttext.")):
            *deltas, last = await each.events()
            assert (text_of(deltas), last["type"]) == (rest, "reply.completed")
    redis_proxy.open()
    await streams_elsewhere_again(session, model_server, runner, other, end_of_test)


async def streams_elsewhere_again(
    session: FakeSessionService,
    model_server: ModelServer,
    runner: Inference,
    other: Inference,
    end_of_test: asyncio.Event,
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("again"), end_of_test, Disconnects())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        assert await direct.until_text(5) == await stream.until_text(5) == "again"


async def failures(inference: Inference) -> float:
    return (await metrics(inference))["parley_inference_buffer_failures_total"]


async def test_a_subscriber_ahead_of_a_lost_runners_buffer_waits_for_the_end(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis_proxy: FaultyProxy,
    end_of_test: asyncio.Event,
) -> None:
    runner, other = (
        await start(redis={"url": redis_proxy.database}),
        await start(redis={"url": redis_url}),
    )
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(
        chunk("written, "), paused, chunk("not written"), end_of_test, Disconnects()
    )
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(9)
        assert await stream.until_text(9) == "written, "
        redis_proxy.close()
        paused.set()
        position = 9 + len(await direct.until_text(11))
        async with other.stream(turn, after=position) as further:
            await eventually(lambda: session.called("get"))
            turn.end("failed", "written, ")
            [ended] = await further.events()
            assert await stream.events() == [ended]
    assert (ended["type"], ended["sequence_number"]) == ("reply.failed", 9)


async def test_a_tampered_buffer_is_not_streamed(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
    caplog: pytest.LogCaptureFixture,
    end_of_test: asyncio.Event,
) -> None:
    runner, other = [await start(redis={"url": redis_url}) for _ in range(2)]
    turn, other_turn = session.open_turn(), session.open_turn()
    for each in (turn, other_turn):
        model_server.script(chunk("text of one"), end_of_test, Disconnects())
        async with runner.stream(each) as direct:
            await direct.until_text(11)
        await eventually(partial(redis.xlen, buffer_name(each.id)))
    await redis.copy(buffer_name(other_turn.id), buffer_name(turn.id), replace=True)
    async with other.stream(turn) as stream:
        await eventually(lambda: "gap in its buffer" in caplog.text)
        turn.end("failed", "")
        assert [event["type"] for event in await stream.events()] == ["reply.failed"]


async def test_a_process_without_redis_still_streams_the_end(
    start: Start, model_server: ModelServer, session: FakeSessionService, redis_url: str
) -> None:
    runner, other = await start(redis={"url": redis_url}), await start()
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(1)
        paused.set()
        assert text_of(await stream.events()) == "ab"


async def test_an_unpaired_surrogate_is_streamed_nowhere(
    only_through_redis: None,
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    redis: Any,
    end_of_test: asyncio.Event,
) -> None:
    runner, other = [await start(redis={"url": redis_url}) for _ in range(2)]
    turn, paused = session.open_turn(), asyncio.Event()
    half, rest = (event({"choices": [{"delta": {"content": c}}]}) for c in ("a\ud83d", "\ude00b"))
    model_server.script(half, paused, rest, end_of_test, Disconnects())
    async with runner.stream(turn), other.stream(turn) as stream:
        assert await stream.until_text(1) == "a"
        paused.set()
        assert await stream.until_text(2) == "😀b"
