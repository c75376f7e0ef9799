"""An interrupted turn ends with the text in its Redis buffer."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.components import components_on
from session_support.service import Service

from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.streaming.turn_buffer import StreamHeader, TurnBufferSealer
from parley_core.streaming.turn_buffer_redis import BufferWrite, TurnBuffers
from parley_events.values import Price
from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy

OPENING = StreamHeader(
    model="fallback", prompt_tokens=7, price=Price(currency="EUR", prompt=1, completion=2)
)

LOST = "what was lost"


@pytest.fixture
async def way(redis_url: str) -> AsyncIterator[FaultyProxy]:
    """A proxy in front of Redis that can be closed and silenced."""
    async with FaultyProxy.to(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def buffers(redis_url: str) -> AsyncIterator[TurnBuffers]:
    buffers = TurnBuffers(
        RedisWithCircuitBreaker(redis_url, timeout_seconds=5, open_seconds=5, max_connections=1)
    )
    yield buffers
    await buffers.aclose()


async def streamed(session: Service, pool: Pool, buffers: TurnBuffers, *texts: str) -> Any:
    """A claimed turn that streamed this text, and whose lease has expired."""
    turn, runner = await session.open_turn(), str(uuid4())
    assert (await session.claim(turn["id"], runner))["claimed"]
    writing = TurnBufferSealer(UUID(turn["id"]), await key_of(session, turn))
    entries = [writing.header(OPENING)]
    position = 0
    for text in texts:
        position += len(text)
        if text != LOST:
            entries.append(writing.text(text, position))
    assert await buffers.write(
        [BufferWrite(writing.name, entries, create=True, ttl_seconds=60)]
    ) == ["written"]
    await pool.execute(
        "UPDATE turns SET opened_at = opened_at - interval '11 s',"
        " claimed_at = claimed_at - interval '11 s'"
    )
    return turn


async def key_of(session: Service, turn: dict[str, Any]) -> DataKey:
    claim = await session.claim(turn["id"], str(uuid4()))
    return DataKey(base64.b64decode(claim["key"]))


async def swept(
    session: Service, pool: Pool, buffers: TurnBuffers | None, turn: dict[str, Any]
) -> dict[str, Any]:
    await components_on(pool, buffers=buffers).sweeper().sweep()
    return await session.turn(turn["id"])


async def test_an_interrupted_turn_has_its_text_usage_and_model(
    session: Service, pool: Pool, buffers: TurnBuffers
) -> None:
    turn = await streamed(session, pool, buffers, "Hél", "lo 😀")
    ended = await swept(session, pool, buffers, turn)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "interrupted")
    reply = ended["reply"]
    assert (reply["content"], reply["model"]) == ("Héllo 😀", "fallback")
    assert reply["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "estimated": True,
    }
    data = await pool.fetchval("SELECT data FROM events WHERE type LIKE '%reply_failed%'")
    assert '"currency": "EUR"' in data.replace('":"', '": "')
    assert "Héllo" not in data


async def test_only_text_before_a_gap_is_recovered(
    session: Service, pool: Pool, buffers: TurnBuffers, caplog: pytest.LogCaptureFixture
) -> None:
    turn = await streamed(session, pool, buffers, "as far ", LOST, "as it went")
    assert (await swept(session, pool, buffers, turn))["reply"]["content"] == "as far "
    assert "has a gap" in caplog.text


async def test_an_abandoned_cancelled_turn_has_its_text(
    session: Service, pool: Pool, buffers: TurnBuffers
) -> None:
    turn = await streamed(session, pool, buffers, "as far ")
    await components_on(pool).cancel(turn)
    ended = await swept(session, pool, buffers, turn)
    assert (ended["status"], ended["reply"]["content"]) == ("cancelled", "as far ")
    assert ended["reply"]["usage"]["estimated"]


async def test_a_turn_without_text_has_no_usage(
    session: Service, pool: Pool, buffers: TurnBuffers
) -> None:
    turn = await streamed(session, pool, buffers)
    reply = (await swept(session, pool, buffers, turn))["reply"]
    assert (reply["content"], "usage" in reply) == ("", False)


@pytest.mark.parametrize("how", ["silence", "close"])
async def test_an_outage_of_redis_blocks_no_session(
    session: Service, pool: Pool, buffers: TurnBuffers, way: FaultyProxy, how: str
) -> None:
    turns = [await streamed(session, pool, buffers, "lost") for _ in range(3)]
    breaker = RedisWithCircuitBreaker(
        way.database, timeout_seconds=0.1, open_seconds=60, max_connections=1
    )
    getattr(way, how)()
    await components_on(pool, buffers=TurnBuffers(breaker)).sweeper().sweep()
    for turn in turns:
        ended = await session.turn(turn["id"])
        assert (ended["status"], ended["reply"]["content"]) == ("failed", "")
    # Only the first call waited for Redis.
    assert breaker.failures == 1
    await breaker.aclose()


async def test_the_process_reads_the_configured_redis(
    serve: Any, pool: Pool, buffers: TurnBuffers, redis_url: str
) -> None:
    session = await serve(
        redis_url=redis_url, SWEEP_INTERVAL_SECONDS=0.02, session_turn_lease_seconds=10
    )
    turn = await streamed(session, pool, buffers, "as far ")

    async def ended() -> bool:
        return bool((await session.turn(turn["id"]))["status"] != "running")

    await eventually(ended)
    assert (await session.turn(turn["id"]))["reply"]["content"] == "as far "
