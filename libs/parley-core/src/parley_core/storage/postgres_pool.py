"""A service's pool of connections to its Postgres."""

from typing import Any

import asyncpg

Pool = asyncpg.Pool


def open_pool(database: str, *, connections: int, seconds: float, name: str) -> Pool:
    """A pool to be entered with `async with`; each wait of it, and each statement, has `seconds`.

    A connection is handed on as it was left: what runs in a pool must leave no session state
    behind (SET, LISTEN, session advisory locks).
    """
    least = min(2, connections)
    return _BoundedPool(
        database,
        seconds=seconds,
        init_size=least,
        min_size=least,
        max_size=connections,
        max_queries=50_000,
        max_inactive_connection_lifetime=300,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        connect=None,
        setup=None,
        init=None,
        loop=None,
        timeout=seconds,
        command_timeout=seconds,
        server_settings={"application_name": name},
        # The default one asks the server at each release: as long as a read takes. An open
        # transaction is rolled back all the same.
        reset=_leave_as_it_is,
    )


class _BoundedPool(asyncpg.Pool):
    """Waits for a free connection no longer than for a new one; asyncpg's own waits for ever."""

    def __init__(self, *arguments: Any, seconds: float, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._seconds = seconds

    def acquire(self, *, timeout: float | None = None) -> Any:
        return super().acquire(timeout=self._seconds if timeout is None else timeout)


async def _leave_as_it_is(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    pass
