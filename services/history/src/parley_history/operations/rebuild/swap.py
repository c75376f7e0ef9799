"""Swap of the active version: pauses projectors, catches up and replaces the views."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from parley_history.storage.change_notifications import notify_all
from parley_history.storage.database import Connection
from parley_history.storage.versions.schema import activate

# The longest pause of all projectors.
SWAP_TIMEOUT_SECONDS: float = 5
# A lock request that waits blocks all later readers of the views, so each attempt is short.
VIEW_LOCK_TIMEOUT_SECONDS = 0.2
VIEW_LOCK_ATTEMPTS = 10

# The table too: with a row lock alone, projectors that take FOR SHARE in turns would never yield.
_LOCK_ACTIVE = """
LOCK TABLE public.active_read_model IN EXCLUSIVE MODE;
SELECT FROM public.active_read_model FOR UPDATE;
"""
_SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', $1, true)"
_SET_STATEMENT_TIMEOUT = "SELECT set_config('statement_timeout', $1, true)"

SWAP_BLOCKED = (
    TimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
)
"""Nothing was changed; the swap may be retried."""


@asynccontextmanager
async def projectors_paused(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction of at most SWAP_TIMEOUT_SECONDS during which nothing is projected."""
    timeout = _milliseconds(SWAP_TIMEOUT_SECONDS)
    async with connection.transaction(), asyncio.timeout(SWAP_TIMEOUT_SECONDS):
        await connection.execute(_SET_STATEMENT_TIMEOUT, timeout)
        await connection.execute(_SET_LOCK_TIMEOUT, timeout)
        await connection.execute(_LOCK_ACTIVE)
        yield


async def activate_between_readers(connection: Connection, version: int) -> None:
    """Replace the views at a moment without readers. Raises one of SWAP_BLOCKED."""
    for attempt in range(1, VIEW_LOCK_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                timeout = _milliseconds(VIEW_LOCK_TIMEOUT_SECONDS)
                await connection.execute(_SET_LOCK_TIMEOUT, timeout)
                await activate(connection, version)
                # Cached pages are those of the previous version.
                await notify_all(connection)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if attempt == VIEW_LOCK_ATTEMPTS:
                raise
            await asyncio.sleep(VIEW_LOCK_TIMEOUT_SECONDS)


def _milliseconds(seconds: float) -> str:
    return f"{max(1, int(seconds * 1000))}ms"
