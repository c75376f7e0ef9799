"""The last step: while projectors wait, the new version gets what it lacks, and becomes active."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from parley_history.operations.rebuild.settings import RebuildSettings
from parley_history.storage.projection_tables import Connection, notify_all
from parley_history.storage.versions import activate

# Of the table too: projectors that lock the row FOR SHARE again and again would never let go of it.
_LOCK_ACTIVE = """
LOCK TABLE public.active_read_model IN EXCLUSIVE MODE;
SELECT FROM public.active_read_model FOR UPDATE;
"""
_BOUND_LOCKS = "SELECT set_config('lock_timeout', $1, true)"
_BOUND_STATEMENTS = "SELECT set_config('statement_timeout', $1, true)"

SOMEBODY_IN_THE_WAY = (
    TimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
)
"""Nothing was changed; it may be tried again."""


@asynccontextmanager
async def projectors_wait(
    connection: "Connection[asyncpg.Record]", settings: RebuildSettings
) -> AsyncIterator[None]:
    """A transaction in which nothing is projected anywhere, for `rebuild_swap_seconds` at most."""
    bound = _milliseconds(settings.rebuild_swap_seconds)
    async with connection.transaction(), asyncio.timeout(settings.rebuild_swap_seconds):
        await connection.execute(_BOUND_STATEMENTS, bound)
        await connection.execute(_BOUND_LOCKS, bound)
        await connection.execute(_LOCK_ACTIVE)
        yield


async def activate_between_readers(
    connection: "Connection[asyncpg.Record]", version: int, settings: RebuildSettings
) -> None:
    """Replace the views in a moment in which no statement reads them.

    A reader that takes long must not hold up, through this, all that come after it: each attempt
    waits for `rebuild_views_seconds` at most. Raises one of SOMEBODY_IN_THE_WAY.
    """
    bound, attempts = settings.rebuild_views_seconds, settings.rebuild_views_attempts
    for attempt in range(1, attempts + 1):
        try:
            async with connection.transaction():
                await connection.execute(_BOUND_LOCKS, _milliseconds(bound))
                await activate(connection, version)
                # Who keeps pages keeps those of the version before.
                await notify_all(connection)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if attempt == attempts:
                raise
            await asyncio.sleep(bound)


def _milliseconds(seconds: float) -> str:
    return f"{max(1, int(seconds * 1000))}ms"
