"""Scans a log topic from its beginning to its current end."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

from parley_core.log import Brokers, LogEntry, LogError, LogReader
from parley_events.cloudevents import Record, UndecodableRecord
from parley_session.operations.first_appearances import stream_position
from parley_session.operations.progress import Progress

STALL_TIMEOUT_SECONDS = 30
"""A scan without any record for this long fails: the brokers are down, or a partition is."""


@asynccontextmanager
async def open_log(brokers: Brokers, topic: str) -> AsyncIterator[LogReader]:
    reader = LogReader(brokers, topic)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.close()


async def scan_log(reader: LogReader) -> AsyncIterator[list[LogEntry]]:
    """Batches up to the current end of each partition, and perhaps a few later records.

    Raises LogError, also if no record arrives for `STALL_TIMEOUT_SECONDS`.
    """
    positions, ends = await reader.beginning_positions(), await reader.end_positions()
    progress = Progress("Read", sum(ends.values()) - sum(positions.values()))
    reader.seek(positions)
    loop = asyncio.get_running_loop()
    last_progress = loop.time()
    while any(positions[partition] < end for partition, end in ends.items()):
        entries, before = await reader.read(), positions
        positions = {**reader.positions}
        if positions != before:
            last_progress = loop.time()
        elif loop.time() - last_progress > STALL_TIMEOUT_SECONDS:
            raise LogError(f"The log returned nothing for {STALL_TIMEOUT_SECONDS:g} s.")
        progress.add(len(entries))
        yield entries


def events_in(entries: Iterable[LogEntry]) -> Iterator[tuple[UUID, int, Record]]:
    """Stream id, sequence and record of each event; skips other records."""
    for entry in entries:
        try:
            yield (*stream_position(entry.record), entry.record)
        except UndecodableRecord:
            # Reported by `verify-log`.
            continue
