"""What was read, kept for a while: one read for all who ask for the same at the same time."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class SingleFlightCache(Generic[Key, Found]):
    """Keeps the `most` that were asked for last, each for `seconds` since its read began.

    Without `seconds` for as long as there is room. A read that failed is not kept.
    """

    def __init__(self, most: int, seconds: float = float("inf")) -> None:
        self._most, self._seconds = most, seconds
        self._reads: OrderedDict[Key, tuple[float, asyncio.Task[Found]]] = OrderedDict()

    async def get(self, key: Key, read: Callable[[], Coroutine[Any, Any, Found]]) -> Found:
        """Raises what `read` does."""
        now = asyncio.get_running_loop().time()
        began, task = self._reads.get(key, (now, None))
        if task is None or now - began > self._seconds:
            task = asyncio.create_task(read())
            self._reads[key] = (now, task)
            task.add_done_callback(lambda done: self._drop_failed(key, done))
        self._reads.move_to_end(key)
        while len(self._reads) > self._most:
            self._reads.popitem(last=False)
        # Others may wait for it too.
        return task.result() if task.done() else await asyncio.shield(task)

    def clear(self) -> None:
        self._reads.clear()

    def _drop_failed(self, key: Key, task: asyncio.Task[Found]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and key in self._reads and self._reads[key][1] is task:
            del self._reads[key]
