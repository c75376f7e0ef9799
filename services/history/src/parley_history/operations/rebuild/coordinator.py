"""Rebuild coordinator: builds a version, compares it with the live one and swaps it in."""

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

from parley_core.log import LogReader
from parley_history.operations.rebuild import versions
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.progress import ProgressReporter
from parley_history.operations.rebuild.report import (
    MAX_LISTED_SESSIONS,
    require_equal,
    require_none_different,
)
from parley_history.operations.rebuild.settings import RebuildSettings
from parley_history.operations.rebuild.swap import (
    SWAP_BLOCKED,
    activate_between_readers,
    projectors_paused,
)
from parley_history.operations.rebuild.version_comparison import Comparison, compare
from parley_history.operations.rebuild.worker.bulk_rows import RebuildTables
from parley_history.operations.rebuild.worker.messages import Assignment
from parley_history.operations.rebuild.worker.pool import WorkerPool
from parley_history.operations.rebuild.worker.worker import Worker
from parley_history.storage.database import Connection

SWAP_ATTEMPTS = 10
# Projecting this many records takes well under a second of the pause that SWAP_TIMEOUT_SECONDS
# bounds.
MAX_RECORDS_DURING_SWAP = 5_000
# Worker processes take longer to start than these records take to project.
MAX_RECORDS_WITHOUT_WORKERS = 2_000
# Comparing more sessions than this would exceed the same bound.
_MAX_COMPARED_DURING_SWAP = 20_000
_POLL_INTERVAL_SECONDS = 0.1


class SwapNotReady(Exception):
    """The version lacks too many records to catch up while projectors are paused."""


class Coordinator:
    """Uses one connection, which holds the rebuild lock, and one reader of the log.

    `accept_differences` swaps even if the versions differ. `events` counts the folded events;
    `comparison` is the last comparison, None when the live version is empty.
    """

    def __init__(
        self,
        connection: Connection,
        reader: LogReader,
        workers: WorkerPool,
        progress: ProgressReporter,
        settings: RebuildSettings,
        *,
        accept_differences: bool = False,
    ) -> None:
        self._connection, self._reader, self._workers = connection, reader, workers
        self._progress, self._settings = progress, settings
        self._accept_differences = accept_differences
        self.events = 0
        self.comparison: Comparison | None = None

    async def build(self) -> int:
        """Build a new version up to the end of the log, or resume an interrupted one.

        Returns its number. Raises RebuildAborted and LogError.
        """
        version, indexed = await versions.candidate(self._connection)
        if not indexed:
            ends = await self._reader.end_positions()
            await self._run_workers(Assignment(version, ends, bulk=True), "events")
            self._progress.start_phase("indexes")
            await versions.finish_bulk(self._connection, version)
        return version

    async def finish(
        self,
        version: int,
        *,
        compare: bool = True,
        park_failures: bool = False,
        activate: bool = True,
    ) -> None:
        """Bring the version up to the live one, compare them, and make it active.

        Raises VersionsDiffer, and RebuildAborted when the swap stays blocked; in both cases
        nothing is swapped.
        """
        live = await versions.active(self._connection)
        if activate:
            compare = compare and await versions.has_rows(self._connection, live)
        for _ in range(SWAP_ATTEMPTS):
            await self._catch_up(version, park_failures=park_failures)
            if not activate:
                await self._wait_for_live(live, version)
            if compare:
                await self._compare(live, version)
            try:
                return await self._swap(
                    live, version, park_failures=park_failures, activate=activate
                )
            except (SwapNotReady, *SWAP_BLOCKED):
                self._progress.start_phase("blocked, retrying")
        failed = "swapped in" if activate else "compared with the live one"
        raise RebuildAborted(
            f"Version {version} could not be {failed}: the live projection moves too fast, or a "
            "reader takes too long. Run this command again to continue."
        )

    async def _catch_up(self, version: int, *, park_failures: bool) -> None:
        for _ in range(SWAP_ATTEMPTS):
            ends = await self._reader.end_positions()
            missing = await self._missing_records(version, ends)
            if sum(missing.values()) <= MAX_RECORDS_DURING_SWAP:
                return
            assignment = Assignment(version, ends, park_failures=park_failures)
            await self._run_workers(assignment, "new events")
        raise RebuildAborted(
            "The log grows faster than the rebuild reads it. Run this command again later."
        )

    async def _wait_for_live(self, live: int, version: int) -> None:
        """Without it, a stalled live projection would compare as equal in what it has."""
        self._progress.start_phase("waiting for the live projection")
        deadline = time.monotonic() + self._settings.catch_up_timeout_seconds
        while missing := await self._missing_in_live(live, version):
            if time.monotonic() > deadline:
                raise RebuildAborted(
                    f"The read model is {missing:,} events behind the log and did not catch up "
                    "in time, so it cannot be verified. Run this command again once it has."
                )
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def _missing_in_live(self, live: int, version: int) -> int:
        """Return the number of records that the version has and the live one lacks."""
        live_positions = await versions.positions(self._connection, live)
        positions = await versions.positions(self._connection, version)
        return sum(max(0, at - live_positions.get(number, 0)) for number, at in positions.items())

    async def _run_workers(self, assignment: Assignment, phase: str) -> None:
        missing = await self._missing_records(assignment.version, assignment.ends)
        total = sum(missing.values())
        self._progress.start_phase(phase, total)
        if total > MAX_RECORDS_WITHOUT_WORKERS:
            await self._workers.run(assignment, missing, self._count_events)
        elif total:
            await self._run_here(assignment)

    async def _run_here(self, assignment: Assignment) -> None:
        tables = RebuildTables(bulk=assignment.bulk, park_failures=assignment.park_failures)
        await Worker(
            self._connection,
            self._reader,
            assignment.version,
            tables,
            self._settings.batch_size,
            self._count_events,
        ).run_until(assignment.ends)

    def _count_events(self, events: int) -> None:
        self.events += events
        self._progress.advance(events)

    async def _compare(self, live: int, version: int) -> None:
        self._progress.start_phase("comparison")
        self.comparison = await compare(
            self._connection, live, version, max_ids=MAX_RECORDS_DURING_SWAP
        )
        if not self._accept_differences:
            require_none_different(self.comparison)

    async def _swap(self, live: int, version: int, *, park_failures: bool, activate: bool) -> None:
        touched = set[UUID]()
        tables = RebuildTables(park_failures=park_failures, touched=touched)
        worker = Worker(self._connection, self._reader, version, tables, self._settings.batch_size)
        # Most records while projectors run, the last ones while they are paused.
        await worker.run_until(await self._target_positions(live))
        self._progress.start_phase("swap" if activate else "last events")
        async with projectors_paused(self._connection):
            targets = await self._target_positions(live)
            missing = await self._missing_records(version, targets)
            if sum(missing.values()) > MAX_RECORDS_DURING_SWAP:
                raise SwapNotReady
            await worker.run_until(targets)
            if self.comparison and not self._accept_differences:
                await self._compare_changed(live, version, self.comparison, touched)
            if activate:
                await activate_between_readers(self._connection, version)

    async def _compare_changed(
        self, live: int, version: int, comparison: Comparison, touched: set[UUID]
    ) -> None:
        """Compare the sessions that were at different events before, or have changed since."""
        if (
            comparison.behind > len(comparison.behind_ids)
            or len(touched) > _MAX_COMPARED_DURING_SWAP
        ):
            raise SwapNotReady
        changed = [*touched.union(comparison.behind_ids, comparison.ahead_ids)]
        final = await compare(
            self._connection, live, version, max_ids=MAX_LISTED_SESSIONS, sessions=changed
        )
        # A live projection that is behind the log cannot be compared in what it lacks.
        may_be_ahead = await self._missing_in_live(live, version) > 0
        if not may_be_ahead and comparison.ahead > len(comparison.ahead_ids):
            raise SwapNotReady
        require_equal(final, may_be_ahead=may_be_ahead)

    async def _target_positions(self, live: int) -> dict[int, int]:
        """Return the live positions, limited to the end of a topic that was recreated."""
        live_positions = await versions.positions(self._connection, live)
        ends = await self._reader.end_positions()
        return {number: min(live_positions.get(number, 0), end) for number, end in ends.items()}

    async def _missing_records(self, version: int, ends: Mapping[int, int]) -> dict[int, int]:
        """Return the number of records of each partition between the version and the ends."""
        positions = await versions.positions(self._connection, version)
        return {number: max(0, end - positions.get(number, 0)) for number, end in ends.items()}
