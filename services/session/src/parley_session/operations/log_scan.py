"""Reads the whole log, to where it ends at the beginning, and says how far it is."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

from parley_core.log import Brokers, LogEntry, LogError, LogReader
from parley_events.cloudevents import Record, UndecodableRecord
from parley_session.operations.first_appearances import place_of

_EVERY_SECONDS = 2


class Progress:
    """Writes a line on standard error every two seconds."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self.done = what, total, 0
        self._began = self._said = time.monotonic()

    @property
    def per_second(self) -> float:
        return self.done / max(time.monotonic() - self._began, 1e-9)

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            print(
                f"{self._what} {self.done:,} of {self._total:,}, {self.per_second:,.0f}/s",
                file=sys.stderr,
            )


@asynccontextmanager
async def opened_log(brokers: Brokers, topic: str) -> AsyncIterator[LogReader]:
    reader = LogReader(brokers, topic)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.close()


async def whole_log(reader: LogReader, *, stalled_seconds: float) -> AsyncIterator[list[LogEntry]]:
    """Everything up to the ends as they are now, and some that came after.

    Raises `LogError`, also when nothing comes for that long.
    """
    positions, ends = await reader.beginning_positions(), await reader.end_positions()
    progress = Progress("Read", sum(ends.values()) - sum(positions.values()))
    reader.seek(positions)
    clock = asyncio.get_running_loop()
    heard = clock.time()
    while any(positions[partition] < end for partition, end in ends.items()):
        entries, before = await reader.read(), positions
        positions = {**reader.positions}
        if positions != before:
            heard = clock.time()
        elif clock.time() - heard > stalled_seconds:
            raise LogError(f"The log gave nothing for {stalled_seconds:g} s before its end.")
        progress.add(len(entries))
        yield entries


def events_in(entries: Iterable[LogEntry]) -> Iterator[tuple[UUID, int, Record]]:
    """Stream (a session), sequence and record; without what is no event of one."""
    for entry in entries:
        try:
            yield (*place_of(entry.record), entry.record)
        except UndecodableRecord:
            # `verify-log` tells of it.
            continue
