"""Waits at the start of a process until its database answers and is migrated."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import asyncpg

from parley_core.process.process_state import ProcessState
from parley_core.runtime.backoff import Backoff
from parley_core.storage.migrations import (
    MigrationsPending,
    run_in_connection,
)

# A server that is restored or rotates its password may refuse for a moment.
MAX_REFUSALS = 5
_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS = 0.1, 2.0
_LOG_INTERVAL_SECONDS = 30.0

_REFUSALS = (asyncpg.InvalidAuthorizationSpecificationError,)
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    # A new cluster creates its databases after it accepts connections.
    asyncpg.InvalidCatalogNameError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

_log = logging.getLogger(__name__)


async def wait_until_migrated(
    url: str,
    require: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]],
    state: ProcessState,
    *,
    migration_wait_seconds: float,
    clock: Callable[[], float] | None = None,
) -> None:
    """Return once the database answers and `require` returns; until then, retry.

    `require` raises MigrationsPending, or the role has no rights, for up to
    `migration_wait_seconds`. Raises that then, any other MigrationError at once, and asyncpg's
    error when the database refuses the credentials.
    """
    now = clock or asyncio.get_running_loop().time
    backoff = Backoff(_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS)
    refusals, pending_since, next_log = 0, None, 0.0
    while True:
        try:
            await run_in_connection(url, require)
        except _REFUSALS as error:
            refusals += 1
            if refusals >= MAX_REFUSALS:
                raise
            pending_since, reason = None, type(error).__name__
            state.wait_for("database")
        except _UNAVAILABLE as error:
            pending_since, reason = None, type(error).__name__
            state.wait_for("database")
        except (MigrationsPending, asyncpg.InsufficientPrivilegeError) as error:
            # A role that has no rights yet gets them from the `migrate` command.
            pending_since = now() if pending_since is None else pending_since
            if now() - pending_since >= migration_wait_seconds:
                raise
            reason = str(error)
            state.wait_for("migrations")
        else:
            return
        if now() >= next_log:
            next_log = now() + _LOG_INTERVAL_SECONDS
            _log.warning("waiting for the database: %s", reason)
        await asyncio.sleep(backoff.next_delay() or 0)
