"""Turn buffer: sealed entries reassemble the text, or a prefix of it, on a real Redis."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from parley_core.crypto.sealing import DataKey
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.streaming.turn_buffer import (
    BufferEntry,
    StreamHeader,
    TurnBufferReader,
    TurnBufferSealer,
    buffer_name,
)
from parley_core.streaming.turn_buffer_redis import BufferWrite, TurnBuffers
from parley_events.values import Price

TURN, KEY = uuid4(), DataKey.generate()
HEADER = StreamHeader(
    model="demo", prompt_tokens=7, price=Price(currency="EUR", prompt=1, completion=2)
)


def text(part: str, end: int, turn_id: UUID = TURN, key: DataKey = KEY) -> BufferEntry:
    return TurnBufferSealer(turn_id, key).text(part, end)


def header(turn_id: UUID = TURN) -> BufferEntry:
    return TurnBufferSealer(turn_id, KEY).header(HEADER)


def end(length: Any) -> Any:
    return TurnBufferSealer(TURN, KEY).end(length)


def reading() -> Any:
    return TurnBufferReader(TURN, KEY)


def test_text_header_and_end_marker_are_read() -> None:
    read = reading()
    assert read.apply([header(), text("Hé", 2)]) == "Hé"
    assert (read.header, read.ended, read.last_id) == (HEADER, False, "2-0")
    assert read.apply([text("😀!", 4), end(4)]) == "😀!"
    assert (read.position, read.ended, read.corrupt) == (4, True, False)


def test_the_last_header_counts() -> None:
    read, writing = reading(), TurnBufferSealer(TURN, KEY)
    other = HEADER.model_copy(update={"model": "fallback"})
    read.apply([writing.header(HEADER), writing.header(other)])
    assert read.header == other


def test_a_reply_without_text_has_an_end_marker() -> None:
    read = reading()
    assert read.apply([header(), end(0)]) == ""
    assert read.ended


def test_text_after_a_gap_is_not_read() -> None:
    read = reading()
    assert read.apply([text("ab", 2), text("e", 5), text("f", 6)]) == "ab"
    assert read.corrupt
    assert read.apply([text("cde", 5)]) == ""


def test_overlapping_text_is_not_read_twice() -> None:
    read = reading()
    assert read.apply([text("ab", 2)]) == "ab"
    assert read.apply([text("abcd", 4), text("cd", 4), text("e", 5)]) == "cde"


@pytest.mark.parametrize(
    "wrong",
    [
        text("ab", 2, turn_id=uuid4()),
        text("ab", 2, key=DataKey.generate()),
        BufferEntry("2-0", text("ab", 3).sealed),
        BufferEntry("0-2", header().sealed),
        BufferEntry("2-0", b"ab"),
    ],
    ids=[
        "of another turn",
        "of another key",
        "of another position",
        "of another header",
        "in clear",
    ],
)
def test_an_altered_entry_marks_the_buffer_as_corrupt(wrong: Any) -> None:
    read = reading()
    assert read.apply([wrong, text("ab", 2)]) == ""
    assert read.corrupt


def test_any_split_of_a_text_reassembles_exactly() -> None:
    draw = random.Random(3)
    whole = "aé😀\n" * 50
    for _ in range(50):
        ends = sorted({*draw.choices(range(1, len(whole)), k=9), len(whole)})
        cuts = zip([0, *ends], ends, strict=False)
        read = reading()
        assert "".join(read.apply([text(whole[a:b], b)]) for a, b in cuts) == whole


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def buffers(redis_url: str) -> AsyncIterator[Any]:
    resting = RedisWithCircuitBreaker(
        redis_url, timeout_seconds=5, open_seconds=60, max_connections=2
    )
    buffers = TurnBuffers(resting)
    yield buffers
    await buffers.aclose()


@pytest.fixture
def turn_id() -> Any:
    return uuid4()


async def written(buffers: Any, *writes: Any) -> Any:
    return list(await buffers.write(writes))


async def read_all(buffers: Any, turn_id: Any) -> Any:
    return await buffers.read_all(TurnBufferReader(turn_id, KEY), 2)


async def test_entries_are_read_in_pages(buffers: Any, redis: Any, turn_id: Any) -> None:
    parts = [text(part, end, turn_id) for end, part in enumerate("abcde", start=1)]
    write = BufferWrite(
        buffer_name(turn_id), [header(turn_id), *parts[:2]], create=True, ttl_seconds=50
    )
    assert await written(buffers, write, BufferWrite(buffer_name(turn_id), parts[2:])) == [
        "written",
        "written",
    ]
    assert await read_all(buffers, turn_id) == "abcde"
    assert 0 < await redis.ttl(buffer_name(turn_id)) <= 50
    one, other = TurnBufferReader(turn_id, KEY), TurnBufferReader(uuid4(), KEY)
    [first, nothing] = await buffers.read([one, other], 3)
    assert (one.apply(first), nothing) == ("ab", [])


async def test_repeated_writes_change_nothing(buffers: Any, redis: Any, turn_id: Any) -> None:
    write = BufferWrite(buffer_name(turn_id), [header(turn_id), text("ab", 2, turn_id)], True)
    for _ in range(2):
        assert await written(
            buffers, write, BufferWrite(buffer_name(turn_id), [text("c", 3, turn_id)])
        ) == (["written", "written"])
    assert await read_all(buffers, turn_id) == "abc"
    assert await redis.xlen(buffer_name(turn_id)) == 3


async def test_a_missing_buffer_is_reported_and_not_created_by_an_append(
    buffers: Any, redis: Any, turn_id: Any
) -> None:
    gone, other = BufferWrite(buffer_name(turn_id), [text("c", 3, turn_id)]), uuid4()
    makes = BufferWrite(buffer_name(other), [text("a", 1, other)], create=True, ttl_seconds=50)
    assert await written(buffers, gone, makes) == ["gone", "written"]
    assert not await redis.exists(buffer_name(turn_id))


async def test_a_ttl_of_zero_deletes_the_buffer(buffers: Any, redis: Any, turn_id: Any) -> None:
    await buffers.write([BufferWrite(buffer_name(turn_id), [text("a", 1, turn_id)], create=True)])
    assert await written(buffers, BufferWrite(buffer_name(turn_id), ttl_seconds=0)) == ["written"]
    assert not await redis.exists(buffer_name(turn_id))


async def test_an_error_of_one_write_is_reported_as_unknown_and_opens_the_circuit(
    buffers: Any, redis: Any, turn_id: Any, caplog: pytest.LogCaptureFixture
) -> None:
    other = uuid4()
    await redis.set(buffer_name(turn_id), "private words", ex=50)
    writes = [
        BufferWrite(buffer_name(each), [text("a", 1, each)], create=True)
        for each in (turn_id, other)
    ]
    assert await written(buffers, *writes) == ["unknown", "written"]
    assert (buffers.failures, buffers.is_open) == (1, True)
    assert await written(buffers, *writes) == ["unknown", "unknown"]
    assert await buffers.read([TurnBufferReader(other, KEY)], 5) is None
    assert buffers.failures == 1
    assert "circuit opened for Redis: ResponseError" in caplog.text
    assert str(turn_id) not in caplog.text


async def test_a_silently_dropped_connection_is_reestablished() -> None:
    """Drops idle connections as a proxy does; the next use fails."""
    heard = []

    async def drop_all_but_the_second(reader: Any, writer: Any) -> None:
        heard.append(await reader.readuntil(b"PING\r\n"))
        if len(heard) == 2:
            writer.write(b"+PONG\r\n")
            await writer.drain()
        writer.transport.abort()

    async with await asyncio.start_server(drop_all_but_the_second, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        resting = RedisWithCircuitBreaker(
            f"redis://127.0.0.1:{port}", timeout_seconds=5, open_seconds=60, max_connections=1
        )
        assert await resting.call(lambda redis: redis.ping())
        assert (resting.failures, len(heard)) == (0, 2)
        await resting.aclose()


async def test_a_cancelled_call_stays_cancelled_when_the_client_swallows_the_cancellation(
    redis_url: str,
) -> None:
    resting = RedisWithCircuitBreaker(
        redis_url, timeout_seconds=5, open_seconds=60, max_connections=1
    )

    async def calls() -> None:
        while True:
            await resting.call(lambda redis: redis.eval("return 1", 0))
            await asyncio.sleep(0)

    for steps in range(60):
        calling = asyncio.create_task(calls())
        for _ in range(steps):
            await asyncio.sleep(0)
        calling.cancel()
        done, _ = await asyncio.wait([calling], timeout=2)
        assert done, steps
    assert resting.failures == 0
    await resting.aclose()


async def test_an_unreachable_redis_is_tried_again_after_the_open_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    resting = RedisWithCircuitBreaker(
        "redis://127.0.0.1:1",
        timeout_seconds=1,
        open_seconds=5,
        max_connections=1,
        clock=lambda: now[0],
    )
    buffers, turn_id = TurnBuffers(resting), uuid4()
    for at, failed in ((0, 1), (4.9, 1), (5.1, 2)):
        now[0] = at
        assert await written(
            buffers, BufferWrite(buffer_name(turn_id), [text("a", 1, turn_id)])
        ) == ["unknown"]
        assert buffers.failures == failed
    assert len(caplog.messages) == 1
    await buffers.aclose()
