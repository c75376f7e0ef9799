"""A rebuild from its first to its last phase; what does it is in the files beside."""

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

import asyncpg

from parley_core.log import LogReader
from parley_history.operations.rebuild import versions as candidates
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.progress import Tracker
from parley_history.operations.rebuild.report import (
    MOST_NAMED,
    require_equal,
    require_none_different,
)
from parley_history.operations.rebuild.settings import RebuildSettings
from parley_history.operations.rebuild.swap import (
    SOMEBODY_IN_THE_WAY,
    activate_between_readers,
    projectors_wait,
)
from parley_history.operations.rebuild.version_comparison import Comparison, compare
from parley_history.operations.rebuild.worker.bulk_rows import RebuildRows
from parley_history.operations.rebuild.worker.messages import Assignment
from parley_history.operations.rebuild.worker.pool import WorkerPool
from parley_history.operations.rebuild.worker.worker import Worker
from parley_history.storage.projection_tables import Connection

# More than this cannot be compared while projectors wait.
_MOST_TOUCHED = 20_000
_LOOK_SECONDS = 0.1


class SwapNotReady(Exception):
    """The version lacks too much to be brought up to the live one while projectors wait."""


class Coordinator:
    """Works over one connection, which holds the lock of the rebuild, and one reader of the log.

    `accepts`: differences to the live version do not stop anything. `events` counts those that were
    folded; `found` is the last comparison, where the live version holds something.
    """

    def __init__(
        self,
        connection: "Connection[asyncpg.Record]",
        reader: LogReader,
        crew: WorkerPool,
        tracker: Tracker,
        settings: RebuildSettings,
        *,
        accepts: bool = False,
    ) -> None:
        self._connection, self._reader, self._crew = connection, reader, crew
        self._tracker, self._settings, self._accepts = tracker, settings, accepts
        self.events = 0
        self.found: Comparison | None = None

    async def build(self) -> int:
        """A version that nobody reads yet, folded up to the log's end, with all its keys.

        Goes on with the one that an earlier run left. Raises RebuildAborted, LogError.
        """
        version, indexed = await candidates.candidate(self._connection)
        if not indexed:
            ends = await self._reader.end_positions()
            await self._work(Assignment(version, ends, bulk=True), "events")
            self._tracker.phase("indexes")
            await candidates.finish_bulk(self._connection, version)
        return version

    async def conclude(
        self, version: int, *, compares: bool = True, parks: bool = False, activates: bool = True
    ) -> None:
        """Bring the version to where the live one is, compare them, and make it the active one.

        Raises Differences, and RebuildAborted when the moment for it never comes; then the version
        is left as it is.
        """
        live = await candidates.active(self._connection)
        if activates:
            compares = compares and await candidates.holds_something(self._connection, live)
        for _ in range(self._settings.rebuild_swap_attempts):
            await self._catch_up(version, parks=parks)
            if not activates:
                await self._live_has_come_as_far(live, version)
            if compares:
                await self._compare(live, version)
            try:
                return await self._swap(live, version, parks=parks, activates=activates)
            except (SwapNotReady, *SOMEBODY_IN_THE_WAY):
                self._tracker.phase("somebody is in the way of the swap; once more")
        raise RebuildAborted(
            f"Version {version} could not be swapped in: the projection moves too fast, or "
            "something reads for too long. Run this again: it goes on."
        )

    async def _catch_up(self, version: int, *, parks: bool) -> None:
        for _ in range(self._settings.rebuild_swap_attempts):
            ends = await self._reader.end_positions()
            left = await self._left(version, ends)
            if sum(left.values()) <= self._settings.rebuild_swap_records:
                return
            await self._work(Assignment(version, ends, parks=parks), "events since")
        raise RebuildAborted("The log grows faster than it is read here. Run this again later.")

    async def _live_has_come_as_far(self, live: int, version: int) -> None:
        """Or the comparison would say that all is well of a projection that stands still."""
        self._tracker.phase("the live projection comes as far")
        until = time.monotonic() + self._settings.rebuild_live_seconds
        while lacks := await self._live_lacks(live, version):
            if time.monotonic() > until:
                raise RebuildAborted(
                    f"The read model is {lacks:,} events behind the log and does not come closer "
                    "in time, so whether it holds what the log says cannot be told. Run this "
                    "again once it has caught up."
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _live_lacks(self, live: int, version: int) -> int:
        """The number of records that the version has and the live one does not."""
        theirs = await candidates.positions(self._connection, live)
        ours = await candidates.positions(self._connection, version)
        return sum(max(0, at - theirs.get(number, 0)) for number, at in ours.items())

    async def _work(self, assignment: Assignment, phase: str) -> None:
        left = await self._left(assignment.version, assignment.ends)
        self._tracker.phase(phase, sum(left.values()))
        await self._crew.work(assignment, left, self._done)

    def _done(self, events: int) -> None:
        self.events += events
        self._tracker.done(events)

    async def _compare(self, live: int, version: int) -> None:
        self._tracker.phase("comparison")
        most = self._settings.rebuild_swap_records
        self.found = await compare(self._connection, live, version, most_ids=most)
        if not self._accepts:
            require_none_different(self.found)

    async def _swap(self, live: int, version: int, *, parks: bool, activates: bool) -> None:
        touched = set[UUID]()
        kept = self._settings.rebuild_sessions_kept
        rows = RebuildRows(parks=parks, most_remembered=kept, touched=touched)
        worker = Worker(self._connection, self._reader, version, rows, self._settings)
        # Most of it while everything goes on, the last of it while projectors wait.
        await worker.reach(await self._targets(live))
        self._tracker.phase("swap")
        async with projectors_wait(self._connection, self._settings):
            targets = await self._targets(live)
            left = await self._left(version, targets)
            if sum(left.values()) > self._settings.rebuild_swap_records:
                raise SwapNotReady
            await worker.reach(targets)
            if self.found and not self._accepts:
                await self._compare_what_moved(live, version, self.found, touched)
            if activates:
                await activate_between_readers(self._connection, version, self._settings)

    async def _compare_what_moved(
        self, live: int, version: int, found: Comparison, touched: set[UUID]
    ) -> None:
        """What was not at the same event when everything was compared, or has moved since."""
        if found.behind > len(found.behind_ids) or len(touched) > _MOST_TOUCHED:
            raise SwapNotReady
        moved = [*touched.union(found.behind_ids, found.ahead_ids)]
        last = await compare(self._connection, live, version, most_ids=MOST_NAMED, sessions=moved)
        # A live projection that is behind the log cannot be compared in what it lacks.
        ahead = await self._live_lacks(live, version) > 0
        if not ahead and found.ahead > len(found.ahead_ids):
            raise SwapNotReady
        require_equal(last, may_be_ahead=ahead)

    async def _targets(self, live: int) -> dict[int, int]:
        """Where the live version is; of a topic that was made again no more than it holds."""
        theirs = await candidates.positions(self._connection, live)
        ends = await self._reader.end_positions()
        return {number: min(theirs.get(number, 0), end) for number, end in ends.items()}

    async def _left(self, version: int, ends: Mapping[int, int]) -> dict[int, int]:
        """The number of records of each partition that the version lacks up to the ends."""
        ours = await candidates.positions(self._connection, version)
        return {number: max(0, end - ours.get(number, 0)) for number, end in ends.items()}
