"""Publishes committed versions to Redis, before the commands are acknowledged (ADR 24)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from parley_core.runtime.batcher import Batcher
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisSettings
from parley_core.storage.version_cache import CommittedVersion, VersionCache

# How long readers may trust older versions once Redis is reachable again.
RETRY_SECONDS = 0.1
# How long every read asks this service after a flush.
EPOCH_CHECK_SECONDS = 1.0
# The first command of an outage waits this long; the ones after it do not wait.
_TIMEOUT_SECONDS = 0.25
# One publication at a time, and epochs.
_MAX_CONNECTIONS = 4
_MAX_VERSIONS_PER_CALL = 500


@asynccontextmanager
async def version_publisher(
    redis: RedisSettings, *, on_result: Callable[[bool], None] = lambda _: None
) -> AsyncIterator["VersionPublisher"]:
    if redis.url is None:
        yield VersionPublisher(None)
        return
    cache = VersionCache(
        RedisWithCircuitBreaker(
            lambda: redis.current_url,
            timeout_seconds=_TIMEOUT_SECONDS,
            open_seconds=RETRY_SECONDS / 2,
            max_connections=_MAX_CONNECTIONS,
            on_result=on_result,
        )
    )
    try:
        yield VersionPublisher(cache)
    finally:
        await cache.aclose()


class VersionPublisher:
    """Without a cache, publishes nothing: readers then ask this service.

    After a failure it publishes nothing either, until `run` has invalidated all versions.
    """

    def __init__(self, cache: VersionCache | None) -> None:
        self._cache = cache
        self._published = Batcher(self._publish, max_keys=_MAX_VERSIONS_PER_CALL)
        self._unpublished = 0
        self._failed = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """Whether readers know every version: it was published, or all were invalidated."""
        return self._cache is not None and not self._failed.is_set()

    async def publish(self, session_id: UUID, version: int, *, gone: bool) -> None:
        """Publish with all other versions that wait; returns when Redis has them, or failed."""
        if self._cache is None:
            return
        published = False
        try:
            if not self._failed.is_set():
                published = await self._published.get(CommittedVersion(session_id, version, gone))
        finally:
            # Also when cancelled: the version is committed.
            if not published:
                self._unpublished += 1
                self._failed.set()

    async def run(self) -> None:
        """Invalidate all versions after a failure, and start epochs. Runs until cancelled."""
        if self._cache is None:
            return
        while True:
            if self._failed.is_set():
                await self._invalidate(self._cache)
            elif not await self._cache.start_epoch():
                self._failed.set()
            await self._wait()

    async def _publish(
        self, versions: Sequence[CommittedVersion]
    ) -> Mapping[CommittedVersion, bool]:
        assert self._cache is not None
        return dict.fromkeys(versions, await self._cache.publish(versions))

    async def _invalidate(self, cache: VersionCache) -> None:
        unpublished = self._unpublished
        # A version that was skipped meanwhile might be missing under the next epoch.
        if await cache.end_epoch() and self._unpublished == unpublished:
            self._failed.clear()

    async def _wait(self) -> None:
        if self._failed.is_set():
            await asyncio.sleep(RETRY_SECONDS)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(EPOCH_CHECK_SECONDS):
                await self._failed.wait()
