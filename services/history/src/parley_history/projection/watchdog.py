"""Ends a projector that is behind the log and gets no further, whatever it hangs in.

Clients of Kafka are known to get stuck without an error (aiokafka issues 847, 625, 703). Whoever
keeps the process running starts it anew, from the positions in the read model.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from parley_core.log import LogError
from parley_history.projection.read_model_stats import ProjectionStats
from parley_history.storage.database_errors import DATABASE_TROUBLE

log = logging.getLogger(__name__)


class ProjectorStalled(Exception):
    """A partition has lag and no progress; the message is a sentence."""


class LogEndOffsets(Protocol):
    """`log_ends.LogEnds` is one."""

    async def read(self) -> Mapping[int, int]: ...
    async def close(self) -> None: ...


class ProjectionStatsReader(Protocol):
    """`read_model_numbers.ReadModelNumbers` is one."""

    async def read(self) -> ProjectionStats: ...
    async def close(self) -> None: ...


class WatchedProjector(Protocol):
    """`projector.Projector` is one."""

    @property
    def joined(self) -> bool: ...
    @property
    def partitions(self) -> frozenset[int]: ...
    @property
    def troubles_met(self) -> int: ...


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """Seconds; see the settings of the same names."""

    look_seconds: float
    stuck_seconds: float


class Watchdog:
    """Looks at the log's ends and the read model's positions, through clients of its own.

    `ends` and `numbers` are what the last look found, None where nobody answered.
    """

    def __init__(
        self,
        ends: LogEndOffsets,
        numbers: ProjectionStatsReader,
        projector: WatchedProjector,
        limits: WatchdogLimits,
    ) -> None:
        self.ends: Mapping[int, int] | None = None
        self.numbers: ProjectionStats | None = None
        self._ask_ends, self._ask_numbers = ends, numbers
        self._projector, self._limits = projector, limits
        self._troubles = 0
        self._standing: Counter[int] = Counter()
        self._positions: Mapping[int, int] = {}

    @property
    def lag(self) -> Mapping[int, int]:
        """The events that are not projected yet, of each partition; empty when nobody knows."""
        if self.ends is None or self.numbers is None:
            return {}
        positions = self.numbers.positions
        return {
            partition: max(0, end - positions.get(partition, 0))
            for partition, end in self.ends.items()
        }

    async def run(self) -> None:
        """Until it is cancelled. Raises Stuck."""
        try:
            while True:
                await asyncio.sleep(self._limits.look_seconds)
                await self._look()
                self._judge()
        finally:
            await self._ask_ends.close()
            await self._ask_numbers.close()

    async def _look(self) -> None:
        # The ends first: what is written between the two is no lag.
        try:
            self.ends = await self._ask_ends.read()
        except LogError:
            self.ends = None
        try:
            self.numbers = await self._ask_numbers.read()
        except DATABASE_TROUBLE:
            self.numbers = None

    def _judge(self) -> None:
        """Count the looks in a row at which a partition stood still.

        Looks are counted, not seconds: a process that was stopped for a while has not looked.
        """
        if not self._in_order() or self.numbers is None:
            self._standing.clear()
            return
        positions, lag = self.numbers.positions, self.lag
        stands = {p for p in lag if lag[p] and positions.get(p, 0) == self._positions.get(p, 0)}
        self._standing = Counter({p: self._standing[p] + 1 for p in stands})
        self._positions = positions
        for partition, looks in self._standing.items():
            if looks >= self._most_looks(partition):
                raise ProjectorStalled(
                    f"Partition {partition} has {lag[partition]} events that are not projected, "
                    f"and nothing moves at position {positions.get(partition, 0)}, though Kafka "
                    "and the read model answer. The projector ends, to be started anew."
                )

    def _in_order(self) -> bool:
        """Whether all that a projector needs has been there since the last look."""
        troubles, self._troubles = self._troubles, self._projector.troubles_met
        return (
            self.ends is not None
            and self.numbers is not None
            and self._projector.joined
            and self._projector.troubles_met == troubles
        )

    def _most_looks(self, partition: int) -> int:
        looks = math.ceil(self._limits.stuck_seconds / self._limits.look_seconds)
        # Another's partition is the other's to end for; if that does not help, it is the group.
        return looks if partition in self._projector.partitions else 2 * looks
