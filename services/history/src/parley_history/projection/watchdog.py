"""Watchdog that ends a projector with lag but no progress, whatever it hangs in.

Kafka clients are known to get stuck without an error (aiokafka issues 847, 625, 703). The process
supervisor restarts the projector, which resumes from the positions in the read model.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from parley_core.log import LogError
from parley_history.storage.database_errors import DATABASE_ERRORS
from parley_history.storage.projection_stats import ProjectionStats

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS: float = 2


class ProjectorStalled(Exception):
    """A partition has lag and no progress; the message is a sentence."""


class EndOffsets(Protocol):
    async def read(self) -> Mapping[int, int]: ...
    async def close(self) -> None: ...


class StatsReader(Protocol):
    async def read(self) -> ProjectionStats: ...
    async def close(self) -> None: ...


class WatchedProjector(Protocol):
    @property
    def joined(self) -> bool: ...
    @property
    def partitions(self) -> frozenset[int]: ...
    @property
    def failures(self) -> int: ...


class Watchdog:
    """Compares the log's end offsets with the read model's positions, through clients of its own.

    `end_offsets` and `stats` are the results of the last check; None when their source failed.
    """

    def __init__(
        self,
        end_offsets: EndOffsets,
        stats: StatsReader,
        projector: WatchedProjector,
        stall_timeout_seconds: float,
    ) -> None:
        self.end_offsets: Mapping[int, int] | None = None
        self.stats: ProjectionStats | None = None
        self._end_offset_reader, self._stats_reader = end_offsets, stats
        self._projector, self._stall_timeout_seconds = projector, stall_timeout_seconds
        self._failures = 0
        self._unchanged_checks: Counter[int] = Counter()
        self._positions: Mapping[int, int] = {}

    @property
    def lag(self) -> Mapping[int, int]:
        """The events of each partition that are not projected yet; empty when unknown."""
        if self.end_offsets is None or self.stats is None:
            return {}
        positions = self.stats.positions
        return {
            partition: max(0, end - positions.get(partition, 0))
            for partition, end in self.end_offsets.items()
        }

    async def run(self) -> None:
        """Run until cancelled. Raises ProjectorStalled."""
        try:
            while True:
                await asyncio.sleep(CHECK_INTERVAL_SECONDS)
                await self._observe()
                self._require_progress()
        finally:
            await self._end_offset_reader.close()
            await self._stats_reader.close()

    async def _observe(self) -> None:
        # End offsets first: records written between the two reads then do not count as lag.
        try:
            self.end_offsets = await self._end_offset_reader.read()
        except LogError:
            self.end_offsets = None
        try:
            self.stats = await self._stats_reader.read()
        except DATABASE_ERRORS:
            self.stats = None

    def _require_progress(self) -> None:
        """Count the consecutive checks at which a lagging partition has not moved.

        Checks are counted instead of seconds, because a suspended process does not check.
        """
        if not self._is_healthy() or self.stats is None:
            self._unchanged_checks.clear()
            return
        positions, lag = self.stats.positions, self.lag
        unmoved = {p for p in lag if lag[p] and positions.get(p, 0) == self._positions.get(p, 0)}
        self._unchanged_checks = Counter({p: self._unchanged_checks[p] + 1 for p in unmoved})
        self._positions = positions
        for partition, checks in self._unchanged_checks.items():
            if checks >= self._max_checks(partition):
                raise ProjectorStalled(
                    f"Projector stalled: partition {partition} lags by {lag[partition]} events "
                    f"and does not move from position {positions.get(partition, 0)}, although "
                    "Kafka and the read model respond. Exiting for a restart."
                )

    def _is_healthy(self) -> bool:
        """Whether Kafka, the database and the projector have worked since the last check."""
        failures, self._failures = self._failures, self._projector.failures
        return (
            self.end_offsets is not None
            and self.stats is not None
            and self._projector.joined
            and self._projector.failures == failures
        )

    def _max_checks(self, partition: int) -> int:
        checks = math.ceil(self._stall_timeout_seconds / CHECK_INTERVAL_SECONDS)
        # The owner of a partition exits first; if that does not help, the group itself is stuck.
        return checks if partition in self._projector.partitions else 2 * checks
