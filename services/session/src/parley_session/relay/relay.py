"""The relay: hands the outbox to the log, oldest first, and starts anew after the first error.

Any number of relays keeps the first appearances of a session's events in order; the lock in the
outbox only avoids repeats. The reason: whoever hands event n to a producer knows that n - 1 is in
the log. It had left the outbox, so it was acknowledged; or it went ahead in the same batch, or in
one that was acknowledged before this one was sent. What is in the log stays there, so this holds
at whatever later time the record is written: also from the producer of a relay that was stopped
and lost its lock, and that wakes after others have gone on.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from parley_core.log import LogError, LogWriter
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_events.cloudevents import Record
from parley_session.relay.outbox import SESSIONS, Batch, Outbox, Queue, connection_settings

log = logging.getLogger(__name__)

_STORE_TROUBLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # On a connection that was lost a moment ago.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Seconds, bytes and counts; see the settings of the same names."""

    records: int
    bytes: int
    publish_seconds: float
    poll_seconds: float
    linger_seconds: float
    pause_seconds: float
    store_seconds: float


class Relay:
    def __init__(
        self,
        database: str,
        writer: Callable[[], LogWriter],
        limits: RelayLimits,
        queue: Queue = SESSIONS,
    ) -> None:
        """`writer` makes an unstarted writer of the topic; each error ends one."""
        self._database, self._new_writer, self._limits = database, writer, limits
        self.queue = queue
        self._news = asyncio.Event()
        self._wakes: asyncio.TimerHandle | None = None
        self._writer: LogWriter | None = None
        self._outbox: Outbox | None = None
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._troubled = False
        self.published = self.failures = 0
        self.is_leader = False

    def wake(self, within: float = 0) -> None:
        """There is something new in the outbox, which may wait there for the seconds."""
        if not within:
            self._forget_to_wake()
            self._news.set()
        elif self._wakes is None:
            self._wakes = asyncio.get_running_loop().call_later(within, self.wake)

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                await self._step()
        finally:
            self._forget_to_wake()
            await self._drop_writer()
            await self._drop_connection()

    async def _step(self) -> None:
        self._news.clear()
        try:
            batch = await self._drain_some()
        except LogError as error:
            await self._after_trouble(str(error))
            await self._drop_writer()
        except _STORE_TROUBLE as error:
            # The class alone: a database's sentence may quote a row.
            await self._after_trouble(f"The event store failed: {type(error).__name__}.")
            await self._drop_connection()
        except Exception as error:
            # Without the relay nothing reaches the log: it starts anew, whatever happened.
            log_unexpected_error(log, "relay", error)
            await self._after_trouble("The relay failed.")
            await self._drop_writer()
            await self._drop_connection()
        else:
            if batch is not None and batch.found:
                self._recovered()
            if batch is None or not batch.full:
                await self._wait()

    async def _drain_some(self) -> Batch | None:
        if self._outbox is None:
            self._outbox = await self._connected()
        if self._writer is None:
            # Outside of the transaction: it can take its whole time while Kafka is away.
            writer = self._new_writer()
            await writer.start(self._limits.publish_seconds)
            self._writer = writer
        failure: LogError | None = None

        async def publish(records: Sequence[Record]) -> Sequence[bool]:
            nonlocal failure
            assert self._writer is not None
            appended = await self._writer.append(records, self._limits.publish_seconds)
            failure = appended.error
            self.published += sum(appended.acknowledged)
            return appended.acknowledged

        batch = await self._outbox.drain_batch(publish)
        self.is_leader = batch is not None
        if failure is not None:
            # What was acknowledged is deleted and committed by now.
            raise failure
        return batch

    async def _connected(self) -> Outbox:
        self._connection = await asyncpg.connect(
            self._database,
            timeout=self._limits.store_seconds,
            command_timeout=self._limits.store_seconds,
            server_settings=connection_settings(self._limits.publish_seconds),
        )
        return Outbox(self._connection, self._limits.records, self._limits.bytes, self.queue)

    def _forget_to_wake(self) -> None:
        if self._wakes is not None:
            self._wakes.cancel()
            self._wakes = None

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._limits.poll_seconds):
                await self._news.wait()
        except TimeoutError:
            return
        # What follows within a moment goes along, and the answer that woke this goes out first.
        await asyncio.sleep(self._limits.linger_seconds)

    async def _after_trouble(self, what: str) -> None:
        if not self._troubled:
            log.warning("%s The relay goes on trying.", what)
        self._troubled, self.is_leader = True, False
        self.failures += 1
        await asyncio.sleep(self._limits.pause_seconds)

    def _recovered(self) -> None:
        if self._troubled:
            log.info("The relay publishes again.")
        self._troubled = False

    async def _drop_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.close()

    async def _drop_connection(self) -> None:
        self._outbox = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()
