"""Outbox monitor: measures the outboxes for metrics, in one process at a time."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from parley_core.runtime.backoff import Backoff
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_session.relay.outbox_sql import (
    DEPTH_AND_AGE,
    MAX_COUNTED_EVENTS,
    TRY_SESSION_LOCK,
    OutboxTable,
)
from parley_session.storage.database import Connection
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE

log = logging.getLogger(__name__)


MEASURE_INTERVAL_SECONDS = 5
"""Measuring counts up to a million rows, so scrapes read the last result."""

_DATABASE_ERRORS: tuple[type[Exception], ...] = (*DATABASE_UNAVAILABLE, asyncpg.PostgresError)
# Arbitrary advisory-lock key, shared by the monitors of all replicas.
_LOCK_KEY = 0x6F7574626F78
_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS = 0.5, 5


@dataclass(frozen=True, slots=True)
class OutboxSize:
    """Pending events, and the age of the oldest one by the database's clock."""

    pending_events: int
    oldest_age_seconds: float


class OutboxMonitor:
    """`sizes` by stream; empty while another process monitors, or the database is unavailable.

    Every replica would report the same numbers, and their sum would be meaningless.
    """

    def __init__(
        self,
        database_url: str,
        tables: Sequence[OutboxTable],
        *,
        timeout_seconds: float,
        interval_seconds: float,
    ) -> None:
        self._database_url, self._tables = database_url, tables
        self._timeout_seconds, self._interval_seconds = timeout_seconds, interval_seconds
        self._backoff = Backoff(_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS)
        self.sizes: Mapping[str, OutboxSize] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self._monitor()
            except _DATABASE_ERRORS as error:
                if not self._backoff.failures:
                    log.warning("outbox monitor failed, retrying: %s", type(error).__name__)
            except Exception as error:
                log_unexpected_error(log, "outbox monitor", error)
            finally:
                self.sizes = {}
            await asyncio.sleep(self._backoff.next_delay() or 0)

    async def _monitor(self) -> None:
        connection = await asyncpg.connect(
            self._database_url,
            timeout=self._timeout_seconds,
            command_timeout=self._timeout_seconds,
            server_settings={"application_name": "parley-outbox-monitor", **FAST_KEEPALIVES},
        )
        try:
            is_locked = False
            while True:
                is_locked = is_locked or await connection.fetchval(TRY_SESSION_LOCK, _LOCK_KEY)
                if is_locked:
                    self.sizes = {t.stream: await measure(connection, t) for t in self._tables}
                self._backoff.reset()
                await asyncio.sleep(self._interval_seconds)
        finally:
            connection.terminate()


async def measure(connection: Connection, table: OutboxTable) -> OutboxSize:
    [row] = await connection.fetch(table.sql(DEPTH_AND_AGE), MAX_COUNTED_EVENTS)
    return OutboxSize(row["events"], max(0.0, row["oldest_seconds"]))
