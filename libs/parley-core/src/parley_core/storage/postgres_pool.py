"""Connection pool of a service's Postgres database, with a bound on every wait."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import Any, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_core.process.process_monitor import ProcessMonitor

_WAIT_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)

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

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        acquire_timeout: float,
        monitor: ProcessMonitor | None = None,
    ) -> None:
        self._pool, self._acquire_timeout = pool, acquire_timeout
        self._observer = None if monitor is None else _PoolObserver(pool, monitor)

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._pool.__aexit__(*error)

    def acquire(self) -> AbstractAsyncContextManager["PoolConnectionProxy[asyncpg.Record]"]:
        return _Acquisition(self._pool, self._acquire_timeout, self._observer)

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


class _Acquisition(AbstractAsyncContextManager["PoolConnectionProxy[asyncpg.Record]"]):
    """A connection within a block. A class, as each statement needs one: a generator costs more."""

    __slots__ = ("_acquire_timeout", "_connection", "_observer", "_pool")

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        acquire_timeout: float,
        observer: "_PoolObserver | None",
    ) -> None:
        self._pool, self._acquire_timeout, self._observer = pool, acquire_timeout, observer

    async def __aenter__(self) -> "PoolConnectionProxy[asyncpg.Record]":
        started_at = perf_counter()
        try:
            self._connection = await self._pool.acquire(timeout=self._acquire_timeout)
        except BaseException as error:
            if self._observer is not None:
                self._observer.on_end(perf_counter() - started_at, error)
            raise
        if self._observer is not None:
            self._observer.on_end(perf_counter() - started_at)
        return self._connection

    async def __aexit__(self, *error: object) -> None:
        await self._pool.release(self._connection)


class _PoolObserver(Collector):
    """Metrics of the pool, and whether Postgres accepts connections."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", monitor: ProcessMonitor) -> None:
        self._pool, self._postgres = pool, monitor.dependencies["postgres"]
        self._waits = Histogram(
            "parley_postgres_pool_wait_seconds",
            "Time until a connection of the pool was available.",
            buckets=_WAIT_BUCKETS,
            registry=monitor.registry,
        )
        monitor.registry.register(self)

    def on_end(self, seconds: float, error: BaseException | None = None) -> None:
        """Called with the time that a request for a connection waited, and why it got none."""
        self._waits.observe(seconds)
        if error is None:
            self._postgres.report(True)
        # Of a pool whose connections are all in use, a timeout shows nothing about Postgres.
        elif (
            isinstance(error, OSError | TimeoutError | asyncpg.PostgresError)
            and self._pool.get_size() < self._pool.get_max_size()
        ):
            self._postgres.report(False)

    def collect(self) -> Iterable[Metric]:
        connections = GaugeMetricFamily(
            "parley_postgres_pool_connections",
            "Connections of the pool: in use, open and idle, or not open.",
            labels=["state"],
        )
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        connections.add_metric(["in_use"], size - idle)
        connections.add_metric(["idle"], idle)
        connections.add_metric(["unopened"], self._pool.get_max_size() - size)
        yield connections


def open_pool(
    database_url: str | Callable[[], str],
    *,
    is_pooled: bool = False,
    max_connections: int,
    timeout_seconds: float,
    application_name: str,
    monitor: ProcessMonitor | None = None,
) -> Pool:
    """Create a pool, to be entered with `async with`.

    `database_url` may be called for each connection, because it may change. With `is_pooled` it is
    that of a pooler in transaction mode, such as PgBouncer.
    `timeout_seconds` bounds each connect, each wait for a free connection and each statement.
    """
    pool = asyncpg.create_pool(
        None if callable(database_url) else database_url,
        connect=partial(_connect_to, database_url) if callable(database_url) else None,
        # Behind a pooler, the next transaction may run on another server connection, which does
        # not know the prepared statements of this one. 100 is asyncpg's default.
        statement_cache_size=0 if is_pooled else 100,
        # Connects at the first use: a database that fails between the wait for it at the start and
        # this pool must not end the process.
        min_size=0,
        max_size=max_connections,
        timeout=timeout_seconds,
        command_timeout=timeout_seconds,
        server_settings={"application_name": application_name},
        # The default reset costs a round trip at each release, as long as a read takes (ADR 4).
        # An open transaction is rolled back all the same.
        reset=_skip_reset,
    )
    return Pool(pool, timeout_seconds, monitor)


async def _connect_to(
    current_url: Callable[[], str], _: None, **arguments: Any
) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(current_url(), **arguments)


async def _skip_reset(_: Any) -> None:
    pass
