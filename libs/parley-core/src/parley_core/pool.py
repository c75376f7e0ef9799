"""A service's pool of connections to its Postgres."""

import asyncpg

Pool = asyncpg.Pool


def open_pool(database: str, *, connections: int, seconds: float, name: str) -> Pool:
    """A pool to be entered with `async with`; each wait of it, and each statement, has `seconds`.

    A connection is handed on as it was left: what runs in a pool must leave no session state
    behind (SET, LISTEN, session advisory locks).
    """
    return asyncpg.create_pool(
        database,
        min_size=min(2, connections),
        max_size=connections,
        timeout=seconds,
        command_timeout=seconds,
        server_settings={"application_name": name},
        # The default one asks the server at each release: as long as a read takes. An open
        # transaction is rolled back all the same.
        reset=_leave_as_it_is,
    )


async def _leave_as_it_is(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    pass
