"""Rebuild worker: folds the log's records of some partitions into one version, in batches.

Killed at any moment, it leaves whole batches with their positions.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from parley_core.log import LogEntry, LogReader
from parley_history.domain.incoming_record import decode_incoming
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.worker.bulk_rows import RebuildTables
from parley_history.projection.batch_applier import BatchApplier
from parley_history.storage.database import Connection
from parley_history.storage.positions import PositionConflict, PositionUpdate

JOIN_TIMEOUT_SECONDS = 30
READ_TIMEOUT_SECONDS = 0.5
KAFKA_SILENCE_TIMEOUT_SECONDS = 60
# Records of a batch are held in memory several times over: raw, decoded and as rows.
MAX_BATCH_BYTES = 64 * 1024 * 1024
# Far more than the projector defers: a session that was parked for a gap, and applied by a retry
# after the gap was filled, must not abort a rebuild.
MAX_DEFERRED_EVENTS = 10_000


class Worker:
    """Reads and folds over a connection and a log reader that its caller closes."""

    def __init__(
        self,
        connection: Connection,
        reader: LogReader,
        version: int,
        tables: RebuildTables,
        batch_size: int,
        on_committed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_committed` receives the events of each commit, and may raise to end the work."""
        transaction = partial(tables.transaction, version=version)
        self._applier = BatchApplier(transaction, tables, MAX_DEFERRED_EVENTS)
        self._connection, self._reader, self._tables = connection, reader, tables
        self._batch_size, self._on_committed = batch_size, on_committed
        self._ends: Mapping[int, int] = {}
        self._next: dict[int, int] = {}

    async def run_until(self, ends: Mapping[int, int]) -> None:
        """Return when every partition is at its end. Raises RebuildAborted and LogError."""
        self._ends = ends
        await self._seek_to_positions()
        while self._unfinished():
            entries = await self._read_batch()
            reached = self._read_positions()
            updates = [
                PositionUpdate(number, self._next[number], end) for number, end in reached.items()
            ]
            records = [decode_incoming(*entry) for entry in entries]
            try:
                await self._applier.apply(self._connection, records, updates)
            except PositionConflict:
                # A worker of a killed rebuild has committed its last batch.
                await self._seek_to_positions()
            else:
                self._next |= reached
                self._on_committed(len(entries))

    async def _seek_to_positions(self) -> None:
        self._tables.clear_cache()
        self._next = await self._applier.positions_of(self._connection, sorted(self._ends))
        self._reader.seek({number: self._next[number] for number in self._unfinished()})

    def _unfinished(self) -> list[int]:
        return [number for number, end in self._ends.items() if self._next[number] < end]

    def _read_positions(self) -> dict[int, int]:
        return {
            number: min(self._reader.positions[number], self._ends[number])
            for number in self._unfinished()
        }

    async def _read_batch(self) -> Sequence[LogEntry]:
        """Read until the batch is full, the ends are reached, or no more records are ready."""
        remaining = sum(self._ends[number] - self._next[number] for number in self._unfinished())
        entries, max_entries = list[LogEntry](), min(remaining, self._batch_size)
        size = 0
        silent_since = time.monotonic()
        while len(entries) < max_entries and any(
            at < self._ends[number] for number, at in self._read_positions().items()
        ):
            read = await self._reader.read(max_entries - len(entries), READ_TIMEOUT_SECONDS)
            new = [entry for entry in read if entry.offset < self._ends[entry.partition]]
            entries += new
            size += sum(len(entry.record.value) for entry in new)
            if (not new and entries) or size > MAX_BATCH_BYTES:
                break
            if not new and time.monotonic() - silent_since > KAFKA_SILENCE_TIMEOUT_SECONDS:
                raise RebuildAborted(
                    "Kafka no longer responds. Run this command again to continue."
                )
        return entries
