"""Pages in Redis, sealed: a read without them gives the same, and is all that their loss costs."""

import logging

from parley_core.crypto.sealing import DataKey, UnsealError, open_copy, seal_copy
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker

log = logging.getLogger(__name__)


class RedisPageCache:
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
    ) -> None:
        self._redis = RedisWithCircuitBreaker(
            url, timeout_seconds=seconds, open_seconds=pause_seconds, max_connections=connections
        )
        self._keep_seconds, self._most_bytes = keep_seconds, most_bytes
        self.found = self.missed = 0

    @property
    def failed(self) -> int:
        return self._redis.failures

    async def get(self, name: str, key: DataKey) -> bytes | None:
        """The page of that name, where it is there and can be opened."""
        sealed = await self._redis.call(lambda redis: redis.get(name))
        if not isinstance(sealed, bytes):
            self.missed += 1
            return None
        try:
            page = open_copy(key, sealed, name=name)
        except UnsealError as broken:
            self.missed += 1
            log.warning("a page in Redis is not as it was put there: %s", broken)
            return None
        self.found += 1
        return page

    async def put(self, name: str, key: DataKey, page: bytes) -> None:
        """Keep a page, unless it is too large."""
        if len(page) <= self._most_bytes:
            sealed = seal_copy(key, page, name=name)
            await self._redis.call(lambda redis: redis.set(name, sealed, ex=self._keep_seconds))

    async def aclose(self) -> None:
        await self._redis.aclose()
