"""Outbox relay: publishes queued events to the log, oldest first, and starts over after an error.

Any number of relays keeps the first appearances of a session's events in order; the leader lock
only avoids repeats. When a relay hands event n to a producer, event n - 1 is already in the log:
either it had left the outbox, so it was acknowledged, or it preceded n in the same batch or in an
acknowledged one. Records are never removed from the log, so this also holds for a record that is
written late, by the producer of a relay that was suspended and has lost the lock.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
from pydantic import Field

from parley_core.log import LogError, LogWriter
from parley_core.runtime.backoff import Backoff
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.runtime.settings import Count, SettingsGroup
from parley_core.storage.database_urls import DatabaseUrls
from parley_events.cloudevents import Record
from parley_session.relay.outbox import Batch, Outbox, connection_settings
from parley_session.relay.outbox_sql import SESSIONS_OUTBOX, OutboxTable
from parley_session.storage.database import Connection
from parley_session.storage.database_errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

TURN_OPENED_DELAY_SECONDS = 0.025
"""Events that open a turn are published this late: the turn's claim and first token go first."""


class RelaySettings(SettingsGroup):
    max_batch_events: Count = Field(
        default=2_000, description="the events that one batch of the relay may have"
    )


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Bounds of a relay; the linger batches events that follow one another closely (ADR 6)."""

    max_batch_events: int = 2_000
    max_batch_bytes: int = 8 * 1024 * 1024
    publish_timeout_seconds: float = 5
    database_timeout_seconds: float = 5
    # Appends wake the relay of their own process; the others poll.
    poll_interval_seconds: float = 0.25
    linger_seconds: float = 0.003
    retry_initial_seconds: float = 0.5
    retry_max_seconds: float = 2


RELAY_LIMITS = RelayLimits()


class Relay:
    """Publishes one outbox while it holds the leader lock.

    `published` and `failures` count acknowledged events and errors since the start.
    """

    def __init__(
        self,
        database: DatabaseUrls,
        new_writer: Callable[[], LogWriter],
        limits: RelayLimits,
        table: OutboxTable = SESSIONS_OUTBOX,
        on_log_result: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`new_writer` makes an unstarted writer of the topic; each error discards one.

        `on_log_result` is told whether Kafka accepted the last batch.
        """
        self._on_log_result = on_log_result
        self._database, self._new_writer, self._limits = database, new_writer, limits
        self.table = table
        self._wake_event = asyncio.Event()
        self._wake_timer: asyncio.TimerHandle | None = None
        self._writer: LogWriter | None = None
        self._outbox: Outbox | None = None
        self._connection: Connection | None = None
        self._backoff = Backoff(limits.retry_initial_seconds, limits.retry_max_seconds)
        self.published = self.failures = 0
        self.is_leader = False

    def wake(self, delay_seconds: float = 0) -> None:
        """Read the outbox after the delay at the latest."""
        if not delay_seconds:
            self._cancel_wake_timer()
            self._wake_event.set()
        elif self._wake_timer is None:
            loop = asyncio.get_running_loop()
            self._wake_timer = loop.call_later(delay_seconds, self.wake)

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            while True:
                await self._step()
        finally:
            self._cancel_wake_timer()
            await self._close_writer()
            self._close_connection()

    async def _step(self) -> None:
        self._wake_event.clear()
        try:
            batch = await self._drain_batch()
        except LogError as error:
            self._on_log_result(False)
            await self._close_writer()
            await self._wait_after_failure(str(error))
        except DATABASE_ERRORS as error:
            # The class alone: a message of the database may quote a row.
            self._close_connection()
            await self._wait_after_failure(f"The event store failed: {type(error).__name__}.")
        except Exception as error:
            # Nothing else publishes the outbox, so the relay starts over after any error.
            log_unexpected_error(log, "relay", error)
            await self._close_writer()
            self._close_connection()
            await self._wait_after_failure("Unexpected error.")
        else:
            # The writer has connected to Kafka.
            self._on_log_result(True)
            if batch is not None and batch.events:
                self._recovered()
            if batch is None or not batch.full:
                await self._wait_for_events()

    async def _drain_batch(self) -> Batch | None:
        if self._outbox is None:
            self._outbox = await self._connect()
        if self._writer is not None and self._writer.is_outdated:
            await self._close_writer()
        if self._writer is None:
            # Started outside of the transaction: it takes its whole timeout while Kafka is down.
            writer = self._new_writer()
            await writer.start(self._limits.publish_timeout_seconds)
            self._writer = writer
        failure: LogError | None = None

        async def publish(records: Sequence[Record]) -> Sequence[bool]:
            nonlocal failure
            assert self._writer is not None
            appended = await self._writer.append(records, self._limits.publish_timeout_seconds)
            failure = appended.error
            self.published += sum(appended.acknowledged)
            return appended.acknowledged

        batch = await self._outbox.drain_batch(publish)
        self.is_leader = batch is not None
        if failure is not None:
            # Raised after the commit, which has deleted the acknowledged events.
            raise failure
        return batch

    async def _connect(self) -> Outbox:
        limits = self._limits
        self._connection = await asyncpg.connect(
            self._database.current_url,
            timeout=limits.database_timeout_seconds,
            command_timeout=limits.database_timeout_seconds,
            server_settings=connection_settings(limits.publish_timeout_seconds),
        )
        return Outbox(self._connection, limits.max_batch_events, limits.max_batch_bytes, self.table)

    def _cancel_wake_timer(self) -> None:
        if self._wake_timer is not None:
            self._wake_timer.cancel()
            self._wake_timer = None

    async def _wait_for_events(self) -> None:
        try:
            async with asyncio.timeout(self._limits.poll_interval_seconds):
                await self._wake_event.wait()
        except TimeoutError:
            return
        # Batches what follows within a moment, and lets the response of the append go out first.
        await asyncio.sleep(self._limits.linger_seconds)

    async def _wait_after_failure(self, reason: str) -> None:
        if not self._backoff.failures:
            log.warning("relay of %s failed, retrying: %s", self.table.stream, reason)
        self.is_leader = False
        self.failures += 1
        await asyncio.sleep(self._backoff.next_delay() or 0)

    def _recovered(self) -> None:
        if self._backoff.failures:
            log.info("relay of %s recovered", self.table.stream)
        self._backoff.reset()

    async def _close_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.close()

    def _close_connection(self) -> None:
        self._outbox = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()
