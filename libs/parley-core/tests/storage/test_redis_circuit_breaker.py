import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker

OPEN_SECONDS = 60


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def redis(clock: Clock) -> AsyncIterator[RedisWithCircuitBreaker]:
    """Connects to nothing: the commands of these tests need no server."""
    redis = RedisWithCircuitBreaker(
        "redis://127.0.0.1:1",
        timeout_seconds=5,
        open_seconds=OPEN_SECONDS,
        max_connections=1,
        clock=clock,
    )
    yield redis
    await redis.aclose()


async def fail(_: Redis) -> str:
    raise RedisError


async def succeed(_: Redis) -> str:
    await asyncio.sleep(0)
    return "result"


async def test_calls_are_skipped_for_the_open_time_after_an_error(
    redis: RedisWithCircuitBreaker, clock: Clock
) -> None:
    assert await redis.call(fail) is None
    assert redis.is_open
    clock.now = OPEN_SECONDS - 1
    assert await redis.call(succeed) is None
    assert redis.failures == 1


async def test_after_the_open_time_every_concurrent_call_is_tried(
    redis: RedisWithCircuitBreaker, clock: Clock
) -> None:
    await redis.call(fail)
    clock.now = OPEN_SECONDS
    assert await asyncio.gather(*(redis.call(succeed) for _ in range(3))) == ["result"] * 3
    assert await redis.call(succeed) == "result"


async def test_an_error_after_the_open_time_opens_the_circuit_again(
    redis: RedisWithCircuitBreaker, clock: Clock
) -> None:
    await redis.call(fail)
    clock.now = OPEN_SECONDS
    await redis.call(fail)
    assert redis.is_open
    clock.now = 2 * OPEN_SECONDS
    assert await redis.call(succeed) == "result"
