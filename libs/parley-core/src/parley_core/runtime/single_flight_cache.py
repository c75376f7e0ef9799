"""A cache that loads each missing key once, however many callers wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

Key = TypeVar("Key")
Value = TypeVar("Value")


class SingleFlightCache(Generic[Key, Value]):
    """Caches the `max_entries` most recently used values, each for `ttl_seconds` from its load on.

    Concurrent callers of a missing key share one load. A load that failed is not cached.
    """

    def __init__(self, max_entries: int, ttl_seconds: float = float("inf")) -> None:
        self._ttl_seconds = ttl_seconds
        self._loads: LRUCache[Key, tuple[float, asyncio.Task[Value]]] = LRUCache(max_entries)

    async def get(self, key: Key, load: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Return the cached or newly loaded value. Raises what `load` raises."""
        now = asyncio.get_running_loop().time()
        started, task = self._loads.get(key, (now, None))
        if task is None or now - started > self._ttl_seconds:
            task = asyncio.create_task(load())
            self._loads[key] = (now, task)
            task.add_done_callback(lambda done: self._drop_failed(key, done))
        # Shielded: other callers may await the same load.
        return task.result() if task.done() else await asyncio.shield(task)

    def clear(self) -> None:
        self._loads.clear()

    def _drop_failed(self, key: Key, task: asyncio.Task[Value]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and key in self._loads and self._loads[key][1] is task:
            del self._loads[key]
