"""A pool that counts the rows that are read, by which tests see what a load reads."""

from typing import Any

from parley_core.storage.postgres_pool import Pool


class CountingPool:
    """Counts the rows of `fetch`, with which events are read."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self.read = pool, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def fetch(self, *arguments: Any) -> Any:
        rows = await self._pool.fetch(*arguments)
        self.read += len(rows)
        return rows
