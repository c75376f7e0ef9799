"""Redis cache of encrypted message pages; without it, reads only take longer."""

import logging
from typing import cast

from prometheus_client import CollectorRegistry, Counter
from pydantic import Field
from redis.asyncio import Redis

from parley_core.crypto.sealing import DataKey, UnsealError, open_copy, seal_copy
from parley_core.runtime.settings import Count, SettingsGroup
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker

log = logging.getLogger(__name__)

# A read from Postgres takes a few milliseconds, so a slower Redis is no help.
TIMEOUT_SECONDS: float = 0.05
CIRCUIT_OPEN_SECONDS: float = 1
MAX_CONNECTIONS = 50
# Larger pages are rare, and sealing one would block the event loop.
MAX_PAGE_BYTES = 1024 * 1024


class PageCacheSettings(SettingsGroup):
    ttl_seconds: Count = Field(
        default=300, description="whole seconds from 1 that Redis keeps an encrypted page"
    )


class RedisPageCache:
    def __init__(self, url: str, settings: PageCacheSettings, registry: CollectorRegistry) -> None:
        self._redis = RedisWithCircuitBreaker(
            url,
            timeout_seconds=TIMEOUT_SECONDS,
            open_seconds=CIRCUIT_OPEN_SECONDS,
            max_connections=MAX_CONNECTIONS,
        )
        self._ttl_seconds = settings.ttl_seconds
        requests = Counter(
            "parley_history_page_cache_requests",
            "Lookups in the page cache: hit, miss or error.",
            ["result"],
            registry=registry,
        )
        self._hits, self._misses = requests.labels("hit"), requests.labels("miss")
        self._errors = requests.labels("error")

    async def get(self, name: str, key: DataKey) -> bytes | None:
        """Return the decrypted page, or None when it is missing or unreadable."""
        # A tuple, because None is the result of a call that failed.
        result = await self._redis.call(lambda redis: _get(redis, name))
        if result is None:
            self._errors.inc()
            return None
        (sealed,) = result
        if sealed is None:
            self._misses.inc()
            return None
        try:
            page = open_copy(key, sealed, name=name)
        except UnsealError as error:
            self._misses.inc()
            log.warning("page in Redis cannot be decrypted: %s", error)
            return None
        self._hits.inc()
        return page

    async def put(self, name: str, key: DataKey, page: bytes) -> None:
        """Encrypt and store the page unless it is too large."""
        if len(page) <= MAX_PAGE_BYTES:
            sealed = seal_copy(key, page, name=name)
            await self._redis.call(lambda redis: redis.set(name, sealed, ex=self._ttl_seconds))

    async def aclose(self) -> None:
        await self._redis.aclose()


async def _get(redis: Redis, name: str) -> tuple[bytes | None]:
    return (cast("bytes | None", await redis.get(name)),)
