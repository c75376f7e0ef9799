"""A reply is read exactly in one process while another one makes it, whatever Redis does."""

import asyncio
import random

import pytest
from inference_peers.model_server import Dies, chunk, event, reply
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from parley_core.streaming.turn_buffer import BufferEntry, TurnBufferReader, buffer_name
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.passage import FaultyProxy

# Session is not asked meanwhile: what is read comes from the buffer.
FAR = {"inference_follow_seconds": 60, "inference_buffer_seconds": 5}
TEXT = "Hél😀 wörld, "


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def way(redis_url):
    """To Redis; it can be closed, and silenced."""
    async with FaultyProxy.to(redis_url) as passage:
        yield passage


@pytest.fixture
async def still(start):
    """Holds a model server up until the test is over."""
    over = asyncio.Event()
    yield over
    over.set()


async def buffer_of(redis, turn):
    """What another process finds, sealed with the key of the turn's session."""
    reading, entries = TurnBufferReader(turn.id, turn.key), await redis.xrange(buffer_name(turn.id))
    text = reading.apply([BufferEntry(at.decode(), fields[b"s"]) for at, fields in entries])
    return reading, text


async def numbers(inference):
    async with inference.http.get(inference.url + "/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_another_process_shows_the_text_as_it_comes_and_the_end_when_it_ended(
    start, model_server, session, redis_url
):
    runner, other = [await start(redis=redis_url, **FAR) for _ in range(2)]
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("Hél"), chunk("lo 😀"), paused, *reply("!", "?"))
    async with runner.stream(turn) as direct:
        await direct.until_text(7)
        async with other.stream(turn, after=1) as first, other.stream(turn, after=6) as second:
            assert await first.until_text(6) == "éllo 😀"
            assert await second.until_text(1) == "😀"
            assert (await numbers(other))["parley_inference_followed"] == 1
            assert (await numbers(runner))["parley_inference_turns"] == 1
            paused.set()
            for stream in (first, second):
                *deltas, last = await stream.events()
                assert text_of(deltas) == "!?"
                assert (last["id"], last["sequence_number"]) == ("end", 9)
        await direct.events()
    assert len(model_server.asked) == 1
    # Once, when the end was told.
    assert len(session.called("get")) == 1


async def test_a_stream_cut_at_random_places_resumes_exactly_in_whichever_process(
    start, model_server, session, redis_url, redis
):
    draw = random.Random(7)
    processes = [await start(redis=redis_url, **FAR) for _ in range(3)]
    turn = session.opens()
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
        assert (text + ".").startswith(more, after), f"it is not exact after {after}"
        seen = text[: max(len(seen), after + len(more))]
    assert (seen, turn.reply.content) == (text, text + ".")


async def test_a_buffer_that_was_lost_is_written_whole_again(
    start, model_server, session, redis_url, redis, still
):
    runner, other = [await start(redis=redis_url, **FAR) for _ in range(2)]
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("before "), paused, chunk("and after"), still, Dies())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(7)
        assert await stream.until_text(7) == "before "
        await redis.delete(buffer_name(turn.id))
        paused.set()
        assert await stream.until_text(9) == "and after"
    reading, text = await buffer_of(redis, turn)
    assert text == "before and after"
    assert (reading.header.model, reading.header.prompt_tokens) == ("demo", 12)
    assert 600 < await redis.ttl(buffer_name(turn.id)) <= 720


async def test_nobody_waits_for_a_redis_that_is_silent_or_away(
    start, model_server, session, way, still
):
    runner = await start(redis=way.database, inference_buffer_seconds=0.2)
    other = await start(redis=way.database, inference_buffer_seconds=0.2)
    turn, gates = session.opens(), [asyncio.Event() for _ in range(3)]
    steps = [step for gate in gates for step in (gate, chunk("text"))]
    model_server.script(*steps[1:], *reply("."))
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        assert await direct.until_text(4) == await stream.until_text(4) == "text"
        way.silence()
        gates[1].set()
        async with asyncio.timeout(1):
            assert await direct.until_text(4) == "text"
        await eventually(lambda: failures(runner))
        way.close()
        gates[2].set()
        for each, rest in ((direct, "text."), (stream, "texttext.")):
            *deltas, last = await each.events()
            assert (text_of(deltas), last["type"]) == (rest, "reply.completed")
    way.open()
    await is_shown_elsewhere_again(session, model_server, runner, other, still)


async def is_shown_elsewhere_again(session, model_server, runner, other, still):
    turn = session.opens()
    model_server.script(chunk("again"), still, Dies())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        assert await direct.until_text(5) == await stream.until_text(5) == "again"


async def failures(inference):
    return (await numbers(inference))["parley_inference_buffer_failures_total"]


async def test_who_has_read_more_than_a_lost_runner_wrote_waits_for_the_end(
    start, model_server, session, redis_url, way, still
):
    runner, other = await start(redis=way.database), await start(redis=redis_url)
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("written, "), paused, chunk("not written"), still, Dies())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(9)
        assert await stream.until_text(9) == "written, "
        way.close()
        paused.set()
        place = 9 + len(await direct.until_text(11))
        async with other.stream(turn, after=place) as further:
            await eventually(lambda: session.called("get"))
            turn.end("failed", "written, ")
            [ended] = await further.events()
            assert await stream.events() == [ended]
    assert (ended["type"], ended["sequence_number"]) == ("reply.failed", 9)


async def test_a_buffer_that_was_tampered_with_is_not_shown(
    start, model_server, session, redis_url, redis, caplog, still
):
    runner, other = await start(redis=redis_url, **FAR), await start(redis=redis_url)
    turn, strange = session.opens(), session.opens()
    for each in (turn, strange):
        model_server.script(chunk("text of one"), still, Dies())
        async with runner.stream(each) as direct:
            await direct.until_text(11)
        await eventually(lambda each=each: redis.xlen(buffer_name(each.id)))
    await redis.copy(buffer_name(strange.id), buffer_name(turn.id), replace=True)
    async with other.stream(turn) as stream:
        await eventually(lambda: "has a gap" in caplog.text)
        turn.end("failed", "")
        assert [event["type"] for event in await stream.events()] == ["reply.failed"]


async def test_redis_holds_no_word_of_a_reply_and_nothing_for_long(
    start, model_server, session, redis_url, redis
):
    runner = await start(redis=redis_url)
    turn = session.opens("private question")
    model_server.script(*(chunk(word) for word in ("private ", "answer ")), *reply("demo"))
    await runner.events(turn)
    name = buffer_name(turn.id)
    await eventually(lambda: is_marked(redis, turn))
    held = name.encode() + repr(await redis.xrange(name)).encode() + await redis.dump(name)
    for word in (b"private", b"answer", b"demo", b"ada", b"prompt", turn.key.secret):
        assert word not in held
    assert 0 < await redis.ttl(name) <= 90


async def is_marked(redis, turn):
    reading, _ = await buffer_of(redis, turn)
    return reading.ended


async def test_the_buffers_of_an_erased_session_are_dropped(
    start, model_server, session, redis_url, redis, still
):
    runner, other = [await start(redis=redis_url, **FAR) for _ in range(2)]
    turn = session.opens()
    model_server.script(chunk("to be erased"), still, Dies())
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(5)
        await stream.until_text(5)
        session.erased = [str(turn.session_id)]
        del session.turns[turn.id]
        assert await stream.events() == []
        await eventually(lambda: is_gone(redis, turn))


async def is_gone(redis, turn):
    return not await redis.exists(buffer_name(turn.id))


async def test_what_ends_with_its_process_is_written_and_marked_before(
    start, model_server, session, redis_url, redis, still
):
    slow = {"inference_buffer_flush_seconds": 60, "inference_drain_seconds": 1}
    runner, turn = await start(redis=redis_url, **slow), session.opens()
    model_server.script(chunk("as far as "), chunk("it went"), still, Dies())
    async with runner.stream(turn) as stream:
        await stream.until_text(17)
        _, text = await buffer_of(redis, turn)
        assert text == "", "it was written already: this test shows nothing"
        runner.app.state.begin_drain()
        assert (await stream.events())[-1]["error"]["code"] == "interrupted"
    runner.server.stop()
    await eventually(lambda: is_marked(redis, turn))


async def test_what_could_not_be_committed_is_left_in_the_buffer(
    start, model_server, session, redis_url, redis, still
):
    runner = await start(redis=redis_url, inference_buffer_flush_seconds=60)
    turn = session.opens()
    session.refuses["fail"] = (503, "down")
    model_server.script(chunk("as far as "), chunk("it went"), still, Dies())
    async with runner.stream(turn) as stream:
        await stream.until_text(17)
        runner.app.state.begin_drain()
        assert await stream.events() == []
    runner.server.stop()

    async def left():
        reading, text = await buffer_of(redis, turn)
        return text == "as far as it went" and not reading.ended

    await eventually(left)


async def test_a_process_without_redis_still_shows_the_end(start, model_server, session, redis_url):
    runner, other = await start(redis=redis_url), await start()
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    async with runner.stream(turn) as direct, other.stream(turn) as stream:
        await direct.until_text(1)
        paused.set()
        assert text_of(await stream.events()) == "ab"


async def test_half_a_character_is_shown_nowhere(
    start, model_server, session, redis_url, redis, still
):
    runner, other = [await start(redis=redis_url, **FAR) for _ in range(2)]
    turn, paused = session.opens(), asyncio.Event()
    half, rest = (event({"choices": [{"delta": {"content": c}}]}) for c in ("a\ud83d", "\ude00b"))
    model_server.script(half, paused, rest, still, Dies())
    async with runner.stream(turn), other.stream(turn) as stream:
        assert await stream.until_text(1) == "a"
        paused.set()
        assert await stream.until_text(2) == "😀b"
