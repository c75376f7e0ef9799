"""The log, read through restarts of Kafka: a line says when it is away, and when it is back."""

import asyncio
import time
from collections.abc import Callable, Mapping

from parley_cli.engines.health_probes import listens
from parley_core.log import Brokers, LogEntry, LogError, LogReader, LogUnreachable

READ_SECONDS = 1.0
PAUSE_SECONDS = 0.2


class ResilientLog:
    """`tell` is given the lines about Kafka."""

    def __init__(self, reader: LogReader, brokers: Brokers, tell: Callable[[str], None]) -> None:
        self._reader, self._tell = reader, tell
        self._addresses = brokers.bootstrap.split(",")
        self._away = False
        self._silent_since = time.monotonic()

    @property
    def positions(self) -> Mapping[int, int]:
        """As those of LogReader."""
        return self._reader.positions

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read these partitions, and no others, from these positions on."""
        self._reader.seek(positions)
        self._silent_since = time.monotonic()

    async def read(self, patience: float) -> list[LogEntry]:
        """The next entries, or none for the moment.

        Raises LogError when none came for `patience` seconds, and as LogReader does.
        """
        entries = await self._entries()
        if entries:
            self._silent_since = time.monotonic()
        elif time.monotonic() - self._silent_since > patience:
            raise LogError(f"Kafka gave nothing of the log for {patience:.0f} s.")
        if entries or await self._answers():
            self._say(away=False)
        else:
            self._say(away=True)
            await asyncio.sleep(PAUSE_SECONDS)
        return entries

    async def _entries(self) -> list[LogEntry]:
        try:
            return await self._reader.read(timeout=READ_SECONDS)
        except LogUnreachable:
            return []

    async def _answers(self) -> bool:
        return any(await asyncio.gather(*map(listens, self._addresses)))

    def _say(self, *, away: bool) -> None:
        if away and not self._away:
            self._tell("Kafka is away; the log is read on when it is back.")
        if self._away and not away:
            self._tell("Kafka is back.")
        self._away = away
