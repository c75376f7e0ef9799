"""Batches of lookups or writes: requests that wait at the same moment share one call."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Batcher(Generic[Key, Value]):
    """Runs one `call` for at most `max_keys` keys at a time; requests of one key share its value.

    A call begins after every request that it answers, so that its values are never older. `call`
    returns a value for each key; what it raises is raised to all requests of the batch.
    """

    def __init__(
        self, call: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]], *, max_keys: int
    ) -> None:
        self._call, self._max_keys = call, max_keys
        self._waiting: dict[Key, list[asyncio.Future[Value]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value:
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                keys = [*islice(self._waiting, self._max_keys)]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._running = None

    async def _answer(self, batch: Mapping[Key, Sequence[asyncio.Future[Value]]]) -> None:
        try:
            values = await self._call([*batch])
        except Exception as error:
            for future in _unanswered(batch):
                future.set_exception(error)
        except BaseException:
            for future in _unanswered(batch):
                future.cancel()
            raise
        else:
            for key, futures in batch.items():
                value = values[key]
                for future in futures:
                    if not future.done():
                        future.set_result(value)


def _unanswered(
    batch: Mapping[Key, Sequence[asyncio.Future[Value]]],
) -> Sequence[asyncio.Future[Value]]:
    return [each for futures in batch.values() for each in futures if not each.done()]
