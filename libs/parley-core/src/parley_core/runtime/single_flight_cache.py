"""A cache that loads each missing key once, however many callers wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Load(Generic[Value]):
    started: float
    task: asyncio.Task[Value]
    size: int = 1


class SingleFlightCache(Generic[Key, Value]):
    """LRU cache of at most `max_size`; each value for `ttl_seconds` from its load on.

    `size_of` measures a value, in any unit: by default the values are counted. A pending load
    counts as 1, and a value larger than the cache is not cached.
    Concurrent callers of a missing key share one load. A load that failed is not cached.
    """

    def __init__(
        self,
        max_size: int,
        ttl_seconds: float = float("inf"),
        *,
        size_of: Callable[[Value], int] = lambda _: 1,
    ) -> None:
        self._ttl_seconds, self._size_of = ttl_seconds, size_of
        self._loads: LRUCache[Key, _Load[Value]] = LRUCache(
            max_size, getsizeof=lambda load: load.size
        )

    async def get(self, key: Key, load: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Return the cached or newly loaded value. Raises what `load` raises."""
        now = asyncio.get_running_loop().time()
        cached = self._loads.get(key)
        if cached is None or now - cached.started > self._ttl_seconds:
            new = cached = _Load(now, asyncio.create_task(load()))
            self._loads[key] = new
            new.task.add_done_callback(lambda _: self._loaded(key, new))
        task = cached.task
        # Shielded: other callers may await the same load.
        return task.result() if task.done() else await asyncio.shield(task)

    def clear(self) -> None:
        self._loads.clear()

    def _loaded(self, key: Key, load: _Load[Value]) -> None:
        """Measure the value, or drop a load that failed."""
        failed = load.task.cancelled() or load.task.exception() is not None
        if key not in self._loads or self._loads[key] is not load:
            return
        del self._loads[key]
        if failed:
            return
        size = self._size_of(load.task.result())
        if size <= self._loads.maxsize:
            self._loads[key] = _Load(load.started, load.task, size)
