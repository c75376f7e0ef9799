"""Caches the unwrapped keys of a key service in memory, and calls it in batches."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cachetools import TTLCache

from parley_core.runtime.batcher import Batcher
from parley_session.key_management.key_wrapper import KeyItem, KeyServiceUnavailable, KeyWrapper

MAX_BATCH_KEYS = 100
FRESH_SECONDS = 60.0
"""How long a key is used without asking the service, as everywhere in Parley."""

STALE_SECONDS = 120.0
"""How long it is used while the service is unavailable: an outage of a minute does not interrupt
sessions that were in use in the minute before it.
"""

MAX_CACHED_KEYS = 10_000
"""About 4 MB."""


class _CachedKey(NamedTuple):
    value: bytes
    unwrapped_at: float


class CachedKeyWrapper:
    """Concurrent requests share a call, and one call runs at a time.

    Callers read the stored wrapped key first, so they never look up an erased key here.
    """

    def __init__(self, service: KeyWrapper, clock: Callable[[], float] = time.monotonic) -> None:
        self._service, self._clock = service, clock
        self._wraps = Batcher(self._wrap, max_keys=MAX_BATCH_KEYS)
        self._unwraps = Batcher(self._unwrap, max_keys=MAX_BATCH_KEYS)
        self._unwrapped: TTLCache[KeyItem, _CachedKey] = TTLCache(
            MAX_CACHED_KEYS, STALE_SECONDS, timer=clock
        )

    async def wrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        return await asyncio.gather(*map(self._wraps.get, items))

    async def unwrap(self, items: Sequence[KeyItem]) -> Sequence[bytes | None]:
        if len(items) == 1:
            # Without the task that `gather` makes: it takes several times as long as the lookup.
            return [await self._get(items[0])]
        return await asyncio.gather(*map(self._get, items))

    async def aclose(self) -> None:
        await self._service.aclose()

    async def _get(self, item: KeyItem) -> bytes | None:
        cached = self._unwrapped.get(item)
        if cached and self._clock() - cached.unwrapped_at <= FRESH_SECONDS:
            return cached.value
        try:
            return await self._unwraps.get(item)
        except KeyServiceUnavailable:
            if cached is None:
                raise
            return cached.value

    async def _wrap(self, items: Sequence[KeyItem]) -> Mapping[KeyItem, bytes]:
        wrapped_at = self._clock()
        wrapped = dict(zip(items, await self._service.wrap(items), strict=True))
        # The next request of a new session usually follows at once.
        for item, value in wrapped.items():
            cached = _CachedKey(item.value, wrapped_at)
            self._unwrapped[KeyItem(value, item.wrapped_for)] = cached
        return wrapped

    async def _unwrap(self, items: Sequence[KeyItem]) -> Mapping[KeyItem, bytes | None]:
        asked_at = self._clock()
        values = dict(zip(items, await self._service.unwrap(items), strict=True))
        for item, value in values.items():
            if value is not None:
                self._unwrapped[item] = _CachedKey(value, asked_at)
        return values
