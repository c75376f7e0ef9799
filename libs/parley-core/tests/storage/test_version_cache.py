"""Committed versions in Redis: newest wins, and nothing survives the end of its epoch."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.version_cache import CommittedVersion, VersionCache

pytestmark = pytest.mark.engine


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[VersionCache]:
    redis = RedisWithCircuitBreaker(
        redis_url, timeout_seconds=5, open_seconds=0.01, max_connections=2
    )
    cache = VersionCache(redis)
    yield cache
    await cache.aclose()


def committed(session_id: UUID, version: int, *, gone: bool = False) -> CommittedVersion:
    return CommittedVersion(session_id, version, gone)


async def test_the_newest_version_is_read_and_a_gone_session_has_none(cache: VersionCache) -> None:
    first, second, unknown = uuid4(), uuid4(), uuid4()
    for version in (4, 6, 5):
        assert await cache.publish([committed(first, version)])
    await cache.publish([committed(second, 2)])
    await cache.publish([committed(second, 3, gone=True)])
    cached = await cache.read([first, second, unknown])
    assert cached is not None
    assert cached.versions == {first: 6, second: None}
    await cache.publish([committed(second, 4)])
    restored = await cache.read([second])
    assert restored is not None
    assert restored.versions == {second: 4}


async def test_versions_published_together_are_those_of_their_sessions_whatever_their_order(
    cache: VersionCache,
) -> None:
    first, second = uuid4(), uuid4()
    assert await cache.publish([committed(first, 6), committed(second, 2), committed(first, 5)])
    cached = await cache.read([first, second])
    assert cached is not None
    assert cached.versions == {first: 6, second: 2}


async def test_a_version_asked_for_before_the_epoch_ended_is_not_added(
    cache: VersionCache,
) -> None:
    session, other = uuid4(), uuid4()
    await cache.publish([committed(session, 4)])
    before = await cache.read([other])
    assert before is not None
    assert before.epoch is not None
    await cache.fill(before.epoch, {other: 1})
    assert await cache.end_epoch()
    await cache.start_epoch()
    await cache.fill(before.epoch, {other: 2})
    after = await cache.read([session, other])
    assert after is not None
    assert (after.versions, after.epoch == before.epoch) == ({}, False)


async def test_a_flush_loses_versions_and_never_revives_them(
    cache: VersionCache, redis_url: str
) -> None:
    session = uuid4()
    await cache.publish([committed(session, 4)])
    async with Redis.from_url(redis_url) as redis:
        # Other tests use the same Redis.
        await redis.delete("parley:versions:epoch", f"parley:version:{session}")
    flushed = await cache.read([session])
    assert flushed is not None
    assert (flushed.epoch, flushed.versions) == (None, {})
