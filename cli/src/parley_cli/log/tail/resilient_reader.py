"""Log reader that survives restarts of Kafka and reports when Kafka is unavailable."""

import asyncio
import time
from collections.abc import Callable, Mapping

from parley_cli.engines.health_probes import accepts_connections
from parley_core.log import (
    Brokers,
    LogEntry,
    LogError,
    LogReader,
    LogUnreachable,
    MessageBatches,
    entries_of,
)
from parley_core.runtime.backoff import Backoff

READ_TIMEOUT_SECONDS = 1.0
MAX_RECORDS = 2_000
INITIAL_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.2, 2.0


class ResilientLog:
    """Reads on through outages; `print_line` receives a line when one begins and ends."""

    def __init__(
        self, reader: LogReader, brokers: Brokers, print_line: Callable[[str], None]
    ) -> None:
        self._reader, self._print_line = reader, print_line
        self._addresses = brokers.bootstrap.split(",")
        self._outage = Backoff(INITIAL_DELAY_SECONDS, MAX_DELAY_SECONDS)
        self._last_message_at = time.monotonic()

    @property
    def positions(self) -> Mapping[int, int]:
        """The positions of the LogReader."""
        return self._reader.positions

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read these partitions, and no others, from these positions on."""
        self._reader.seek(positions)
        self._last_message_at = time.monotonic()

    async def read(self, stall_timeout: float) -> list[LogEntry]:
        """The next entries; otherwise like `read_messages`."""
        return entries_of(await self.read_messages(stall_timeout))

    async def read_messages(
        self, stall_timeout: float, max_records: int = MAX_RECORDS
    ) -> MessageBatches:
        """At most `max_records` of the next messages, or none if none arrived yet.

        Raises LogError after `stall_timeout` seconds without any, and what LogReader raises.
        """
        batches = await self._read_batches(max_records)
        if batches:
            self._last_message_at = time.monotonic()
        elif time.monotonic() - self._last_message_at > stall_timeout:
            raise LogError(f"Kafka returned no records for {stall_timeout:.0f} s.")
        if batches or await self._any_broker_accepts_connections():
            self._on_available()
        else:
            await self._on_unavailable()
        return batches

    async def _read_batches(self, max_records: int) -> MessageBatches:
        try:
            return await self._reader.read_messages(max_records, READ_TIMEOUT_SECONDS)
        except LogUnreachable:
            return {}

    async def _any_broker_accepts_connections(self) -> bool:
        return any(await asyncio.gather(*map(accepts_connections, self._addresses)))

    def _on_available(self) -> None:
        if self._outage.failures:
            self._print_line("Kafka is available again.")
        self._outage.reset()

    async def _on_unavailable(self) -> None:
        if not self._outage.failures:
            self._print_line("Kafka is unavailable; reading resumes when it is back.")
        await asyncio.sleep(self._outage.next_delay() or MAX_DELAY_SECONDS)
