"""Connection pool of a service's Postgres database, with a bound on every wait."""

from types import MappingProxyType
from typing import Any, Self

import asyncpg
from asyncpg.pool import PoolAcquireContext

FAST_KEEPALIVES = MappingProxyType(
    {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}
)
"""Server settings that release the locks of a client whose machine vanished within 5 seconds.

Linux's default takes more than two hours.
"""


class Pool:
    """asyncpg's pool, whose own methods would wait for a free connection without a bound.

    Connections are not reset on release: code that uses the pool must leave no session state
    behind (SET, LISTEN, session advisory locks).
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_timeout: float) -> None:
        self._pool, self._acquire_timeout = pool, acquire_timeout

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._pool.__aexit__(*error)

    def acquire(self) -> "PoolAcquireContext[asyncpg.Record]":
        return self._pool.acquire(timeout=self._acquire_timeout)

    async def release(self, connection: Any) -> None:
        await self._pool.release(connection)

    async def execute(self, query: str, *arguments: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *arguments)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(query, *arguments)


def open_pool(
    database_url: str, *, max_connections: int, timeout_seconds: float, application_name: str
) -> Pool:
    """Create a pool, to be entered with `async with`.

    `timeout_seconds` bounds each connect, each wait for a free connection and each statement.
    """
    pool = asyncpg.create_pool(
        database_url,
        min_size=min(2, max_connections),
        max_size=max_connections,
        timeout=timeout_seconds,
        command_timeout=timeout_seconds,
        server_settings={"application_name": application_name},
        # The default reset costs a round trip at each release, as long as a read takes (ADR 4).
        # An open transaction is rolled back all the same.
        reset=_skip_reset,
    )
    return Pool(pool, timeout_seconds)


async def _skip_reset(_: Any) -> None:
    pass
