"""Fixtures of tests that stream through Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from inference_fakes.inference import Start
from redis.asyncio import Redis

from parley_inference.streaming import turn_buffering
from parley_inference.turns import follow


@pytest.fixture
def only_through_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules out that text comes from session instead of the buffer."""
    monkeypatch.setattr(follow, "IDLE_SECONDS", 60)
    monkeypatch.setattr(turn_buffering, "REDIS_TIMEOUT_SECONDS", 5)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def end_of_test(start: Start) -> AsyncIterator[asyncio.Event]:
    """Pauses a model server until the test is over."""
    ended = asyncio.Event()
    yield ended
    ended.set()
