"""Store monitor: measures the event store for metrics, in one process at a time."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from parley_core.runtime.backoff import Backoff
from parley_core.storage.database_urls import DatabaseUrls
from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_session.relay.outbox_sql import (
    DEPTH_AND_AGE,
    MAX_COUNTED_EVENTS,
    TRY_SESSION_LOCK,
    OutboxTable,
)
from parley_session.storage.database import Connection
from parley_session.storage.database_errors import DATABASE_ERRORS
from parley_session.storage.due_sessions import count_due_sessions
from parley_session.storage.keys.wrapped_key_counts import count_wrapped_keys

log = logging.getLogger(__name__)


MEASURE_INTERVAL_SECONDS = 5
"""Measuring counts up to a million rows, so scrapes read the last result."""
KEY_COUNT_INTERVAL_SECONDS = 3_600.0
"""Counting reads every session's row; the counts matter when a master key is replaced."""
_KEY_COUNT_TIMEOUT_SECONDS = 30.0

# Arbitrary advisory-lock key, shared by the monitors of all replicas.
_LOCK_KEY = 0x6F7574626F78
_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS = 0.5, 5


@dataclass(frozen=True, slots=True)
class OutboxSize:
    """Pending events, and the age of the oldest one by the database's clock."""

    pending_events: int
    oldest_age_seconds: float


@dataclass(frozen=True, slots=True)
class StoreSize:
    """`outboxes` by stream. `wrapped_keys` by the id of their master key; None before the count."""

    outboxes: Mapping[str, OutboxSize]
    due_sessions: int
    wrapped_keys: Mapping[str, int] | None


class StoreMonitor:
    """`size` is None while another process monitors, or the database is unavailable.

    Every replica would report the same numbers, and their sum would be meaningless.
    """

    def __init__(
        self,
        database: DatabaseUrls,
        tables: Sequence[OutboxTable],
        *,
        timeout_seconds: float,
        interval_seconds: float,
    ) -> None:
        self._database, self._tables = database, tables
        self._timeout_seconds, self._interval_seconds = timeout_seconds, interval_seconds
        self._backoff = Backoff(_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS)
        self.size: StoreSize | None = None
        self._wrapped_keys: Mapping[str, int] | None = None
        self._keys_counted_at: float | None = None

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self._monitor()
            except DATABASE_ERRORS as error:
                if not self._backoff.failures:
                    log.warning("store monitor failed, retrying: %s", type(error).__name__)
            finally:
                # Another process may monitor, and keys may be wrapped again, until this one does.
                self.size = self._wrapped_keys = self._keys_counted_at = None
            await asyncio.sleep(self._backoff.next_delay() or 0)

    async def _monitor(self) -> None:
        connection = await asyncpg.connect(
            self._database.current_url,
            timeout=self._timeout_seconds,
            command_timeout=self._timeout_seconds,
            server_settings={"application_name": "parley-store-monitor", **FAST_KEEPALIVES},
        )
        try:
            is_locked = False
            while True:
                is_locked = is_locked or await connection.fetchval(TRY_SESSION_LOCK, _LOCK_KEY)
                if is_locked:
                    await self._measure(connection)
                self._backoff.reset()
                await asyncio.sleep(self._interval_seconds)
        finally:
            connection.terminate()

    async def _measure(self, connection: Connection) -> None:
        outboxes = {table.stream: await measure(connection, table) for table in self._tables}
        due_sessions = await count_due_sessions(connection)
        # Before the keys are counted, which may take half a minute.
        self.size = StoreSize(outboxes, due_sessions, self._wrapped_keys)
        counted_at = self._keys_counted_at
        if counted_at is None or time.monotonic() - counted_at >= KEY_COUNT_INTERVAL_SECONDS:
            self._keys_counted_at = time.monotonic()
            self._wrapped_keys = await _count_keys(connection)
            self.size = replace(self.size, wrapped_keys=self._wrapped_keys)


async def _count_keys(connection: Connection) -> Mapping[str, int] | None:
    try:
        return await count_wrapped_keys(connection, _KEY_COUNT_TIMEOUT_SECONDS)
    except TimeoutError:
        log.warning("counting the wrapped keys takes too long; their metric is missing")
        return None


async def measure(connection: Connection, table: OutboxTable) -> OutboxSize:
    [row] = await connection.fetch(table.sql(DEPTH_AND_AGE), MAX_COUNTED_EVENTS)
    return OutboxSize(row["events"], max(0.0, row["oldest_seconds"]))
