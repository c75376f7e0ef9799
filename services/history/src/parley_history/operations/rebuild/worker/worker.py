"""A process that folds a share of the log's partitions into one version.

`python -m parley_history.operations.rebuild.worker.worker` reads its assignment from stdin and
reports its progress on stdout. Killed at any moment, it leaves whole batches with their positions.
"""

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import asyncpg
import msgspec

from parley_core.http.server import configure_logging
from parley_core.log import LogEntry, LogError, LogReader
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.runtime.settings import load
from parley_history.domain.incoming_record import arrival_of
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.settings import RebuildSettings
from parley_history.operations.rebuild.worker.bulk_rows import RebuildRows
from parley_history.operations.rebuild.worker.messages import Assignment, Done
from parley_history.projection.batch_applier import BatchApplier, PositionConflict, PositionUpdate
from parley_history.storage.database_errors import DATABASE_TROUBLE
from parley_history.storage.projection_tables import Connection

log = logging.getLogger(__name__)

# A commit that is lost with the server's memory takes its positions with it: it is done again.
_CONNECTION_SETTINGS = {
    "application_name": "parley-rebuild",
    "synchronous_commit": "off",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
}


class Worker:
    """Reads and folds, over a connection and a reader that are its caller's to close."""

    def __init__(
        self,
        connection: "Connection[asyncpg.Record]",
        reader: LogReader,
        version: int,
        rows: RebuildRows,
        settings: RebuildSettings,
        report: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`report` is told the number of events of each commit, and may raise to end the work."""
        enter = partial(rows.entered, version=version)
        self._applying = BatchApplier(enter, rows, settings.rebuild_held_events)
        self._connection, self._reader, self._rows = connection, reader, rows
        self._settings, self._report = settings, report
        self._ends: Mapping[int, int] = {}
        self._next: dict[int, int] = {}

    async def reach(self, ends: Mapping[int, int]) -> None:
        """Return when every partition is at its end. Raises RebuildAborted, LogError."""
        self._ends = ends
        await self._take_positions()
        while self._behind():
            entries = await self._read()
            reached = self._reached()
            moves = [
                PositionUpdate(number, self._next[number], end) for number, end in reached.items()
            ]
            arrivals = [arrival_of(*entry) for entry in entries]
            try:
                await self._applying.project(self._connection, arrivals, moves)
            except PositionConflict:
                # A worker of a rebuild that was killed has finished its last batch.
                await self._take_positions()
            else:
                self._next |= reached
                self._report(len(entries))

    async def _take_positions(self) -> None:
        self._rows.forget()
        self._next = await self._applying.positions_of(self._connection, sorted(self._ends))
        self._reader.seek({number: self._next[number] for number in self._behind()})

    def _behind(self) -> list[int]:
        return [number for number, end in self._ends.items() if self._next[number] < end]

    def _reached(self) -> dict[int, int]:
        return {
            number: min(self._reader.positions[number], self._ends[number])
            for number in self._behind()
        }

    async def _read(self) -> Sequence[LogEntry]:
        """The next entries before the ends, up to a batch; those that came are not kept back."""
        left = sum(self._ends[number] - self._next[number] for number in self._behind())
        entries, most = list[LogEntry](), min(left, self._settings.rebuild_records)
        size = 0
        silent_since = time.monotonic()
        while len(entries) < most and any(
            at < self._ends[number] for number, at in self._reached().items()
        ):
            found = await self._reader.read(
                most - len(entries), self._settings.rebuild_read_seconds
            )
            wanted = [entry for entry in found if entry.offset < self._ends[entry.partition]]
            entries += wanted
            size += sum(len(entry.record.value) for entry in wanted)
            if (not wanted and entries) or size > self._settings.rebuild_batch_bytes:
                break
            silence = time.monotonic() - silent_since
            if not wanted and silence > self._settings.rebuild_stalled_seconds:
                raise RebuildAborted("Kafka does not answer any more. Run this again: it goes on.")
        return entries


async def work(
    settings: RebuildSettings, assignment: Assignment, report: Callable[[int], None]
) -> None:
    connection = await asyncpg.connect(
        settings.history_database,
        timeout=settings.history_database_seconds,
        server_settings=_CONNECTION_SETTINGS,
    )
    reader = LogReader(settings.brokers, settings.projector_topic)
    rows = RebuildRows(
        bulk=assignment.bulk,
        parks=assignment.parks,
        most_remembered=settings.rebuild_sessions_kept,
    )
    try:
        await reader.start(settings.rebuild_join_seconds)
        worker = Worker(connection, reader, assignment.version, rows, settings, report)
        await worker.reach(assignment.ends)
    finally:
        await reader.close()
        connection.terminate()


def main() -> int:
    # What is said on stderr is the sentence that the rebuild ends with: clients must be silent.
    configure_logging()
    parent = os.getppid()

    def report(events: int) -> None:
        if os.getppid() != parent:
            raise RebuildAborted("The rebuild that this worker belongs to is gone.")
        print(msgspec.json.encode(Done(events)).decode(), flush=True)

    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    # A batch lives for as long as it is worked on: looking for rubbish in it is wasted.
    gc.freeze()
    gc.set_threshold(500_000, 20, 20)
    try:
        asyncio.run(work(load(RebuildSettings), assignment, report))
    except (RebuildAborted, LogError) as stopped:
        print(stopped, file=sys.stderr)
    except DATABASE_TROUBLE as trouble:
        # Its class alone: a database's sentence may quote a row.
        name = type(trouble).__name__
        print(f"The read model failed: {name}. Run this again: it goes on.", file=sys.stderr)
    except Exception as surprise:
        log_unexpected_error(log, "A worker of the rebuild failed", surprise)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
