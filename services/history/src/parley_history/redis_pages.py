"""Pages in Redis, sealed: a read without them gives the same, and is all that their loss costs."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from parley_core.sealing import DataKey, SealBroken, open_copy, seal_copy

log = logging.getLogger(__name__)

_TROUBLE = (RedisError, OSError, TimeoutError)


class RedisPages:
    """Each call takes `seconds` at most; after an error none is made for `pause_seconds`."""

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        pause_seconds: float,
        keep_seconds: int,
        most_bytes: int,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._pause_seconds = seconds, pause_seconds
        self._keep_seconds, self._most_bytes, self._clock = keep_seconds, most_bytes, clock
        self._rests_until = float("-inf")
        self._redis = _client(url, seconds, connections)
        self.found = self.missed = self.failed = 0

    async def get(self, name: str, key: DataKey) -> bytes | None:
        """The page of that name, where it is there and can be opened."""
        sealed = await self._call(lambda: self._redis.get(name))
        if not isinstance(sealed, bytes):
            self.missed += 1
            return None
        try:
            page = open_copy(key, sealed, name=name)
        except SealBroken as broken:
            self.missed += 1
            log.warning("a page in Redis is not as it was put there: %s", broken)
            return None
        self.found += 1
        return page

    async def put(self, name: str, key: DataKey, page: bytes) -> None:
        """Keep a page, unless it is too large."""
        if len(page) <= self._most_bytes:
            sealed = seal_copy(key, page, name=name)
            await self._call(lambda: self._redis.set(name, sealed, ex=self._keep_seconds))

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _call(self, command: Callable[[], Awaitable[object]]) -> object:
        """What Redis answers; None when it does not, or rests."""
        if self._clock() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(self._seconds):
                return await command()
        except _TROUBLE as trouble:
            self.failed += 1
            if self._clock() >= self._rests_until:
                log.warning("Redis does not keep pages now: %s", type(trouble).__name__)
            self._rests_until = self._clock() + self._pause_seconds
            return None


def _client(url: str, seconds: float, connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        # What every Redis and Valkey understands, and nothing asked beside.
        protocol=2,
        driver_info=None,
    )
    return Redis.from_pool(pool)
