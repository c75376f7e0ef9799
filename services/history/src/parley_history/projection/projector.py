"""The projector: reads the log as one of a group and applies it to the read model, batch by batch.

The truth about how far it is stands in the read model, moved in the transaction of the effect.
Whatever goes wrong, it reads the positions again and goes on from there.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from parley_core.log import LogEntry, LogError, LogUnreachable, PositionOutOfRange
from parley_core.log.group_reader import LoadPositions
from parley_history.domain.batch import DeadLetter
from parley_history.domain.incoming_record import IncomingRecord, arrival_of
from parley_history.projection.batch_applier import PositionConflict, PositionUpdate
from parley_history.storage.database_errors import DATABASE_TROUBLE

log = logging.getLogger(__name__)

_AFTER_A_LOSS = (
    "If the topic was lost, run `parley log restore`; then run `parley rebuild history`. Until "
    "then nothing is projected."
)


class Log(Protocol):
    """`parley_core.log.GroupReader` is one."""

    @property
    def partitions(self) -> frozenset[int]: ...
    @property
    def positions(self) -> Mapping[int, int]: ...
    async def start(self, timeout: float) -> None: ...
    async def read(self, max_records: int, timeout: float) -> list[LogEntry]: ...
    def seek(self, partition: int, position: int) -> None: ...
    async def commit_offsets(self, positions: Mapping[int, int]) -> None: ...
    async def close(self) -> None: ...


class Projection(Protocol):
    """`read_model.ReadModel` is one."""

    async def positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]: ...
    async def project(
        self, arrivals: Sequence[IncomingRecord], moves: Sequence[PositionUpdate]
    ) -> Sequence[DeadLetter]: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ProjectorLimits:
    """Seconds and counts; see the settings of the same names."""

    records: int
    join_seconds: float
    read_seconds: float
    hint_seconds: float
    pause_seconds: float
    pause_most_seconds: float


class Projector:
    def __init__(
        self,
        new_log: Callable[[LoadPositions], Log],
        projection: Projection,
        limits: ProjectorLimits,
    ) -> None:
        """`new_log` makes an unstarted reader that asks the given function for positions.

        What it tells of itself are counts since its start; `joined` is whether it is in its group.
        """
        self._log, self._projection, self._limits = new_log(self._positions_of), projection, limits
        self._next: dict[int, int] = {}
        self._astray = False
        self._lost: PositionOutOfRange | None = None
        self._hint: dict[int, int] = {}
        self._hinted_at = 0.0
        self._troubles = 0
        self.joined = False
        self.troubles_met = 0
        self.events_projected = 0
        self.sessions_parked = 0

    @property
    def partitions(self) -> frozenset[int]:
        """Those that this process holds now."""
        return self._log.partitions if self.joined else frozenset()

    @property
    def missing(self) -> Sequence[str]:
        """What this process waits for; a standby without partitions waits for nothing."""
        if not self.joined:
            return ["log"]
        return ["read model"] if self._troubles else []

    async def run(self) -> None:
        """Until it is cancelled.

        Raises LogError when Kafka answers and the group still cannot be joined.
        """
        try:
            while not self.joined:
                await self._join()
            while True:
                await self._step()
        finally:
            await self._log.close()
            await self._projection.close()

    async def _join(self) -> None:
        try:
            await self._log.start(self._limits.join_seconds)
        except LogUnreachable as error:
            # Kafka may be starting too: whoever keeps this process running need not notice.
            await self._pause(str(error))
        else:
            self.joined = True

    async def _step(self) -> None:
        try:
            if self._astray:
                await self._return_to_positions()
            entries = await self._log.read(self._limits.records, self._limits.read_seconds)
            await self._project(entries)
        except PositionOutOfRange as lost:
            self._lost = lost
            self._astray = True
            await self._pause(f"{lost} {_AFTER_A_LOSS}")
        except PositionConflict:
            log.info("Another projector was faster: the positions are read again.")
            self._astray = True
        except LogError as error:
            await self._pause(str(error))
        except DATABASE_TROUBLE as error:
            # Its class alone: a database's sentence may quote a row.
            self._astray = True
            await self._projection.close()
            await self._pause(f"The read model failed: {type(error).__name__}.")
        else:
            self._recovered()
            await self._commit_hint()

    async def _project(self, entries: Sequence[LogEntry]) -> None:
        # Past what is no record too, or marks at the log's end would stay a lag for ever.
        ends = {at: end for at, end in self._log.positions.items() if end > self._next[at]}
        if not ends:
            return
        moves = [
            PositionUpdate(partition, self._next[partition], end) for partition, end in ends.items()
        ]
        parked = await self._projection.project([arrival_of(*entry) for entry in entries], moves)
        self._next |= ends
        self._hint |= ends
        self.events_projected += len(entries)
        self.sessions_parked += len(parked)
        for letter in parked:
            _report(letter)

    async def _positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]:
        positions = await self._projection.positions_of(partitions)
        self._next |= positions
        return positions

    async def _return_to_positions(self) -> None:
        """Read on from where the read model is: after a failed commit nobody else knows."""
        positions = await self._positions_of(sorted(self._log.partitions))
        if self._lost and positions.get(self._lost.partition) == self._lost.position:
            # Even if the log has grown past it by now: what is there is not what came next.
            raise self._lost.with_traceback(None)
        self._lost = None
        for partition, position in positions.items():
            self._log.seek(partition, position)
        self._astray = False

    async def _commit_hint(self) -> None:
        if self._hint and time.monotonic() - self._hinted_at >= self._limits.hint_seconds:
            hint, self._hint = self._hint, {}
            await self._log.commit_offsets(hint)
            self._hinted_at = time.monotonic()

    async def _pause(self, what: str) -> None:
        if not self._troubles:
            log.warning("%s The projector goes on trying.", what)
        pause = self._limits.pause_seconds * 2 ** min(self._troubles, 16)
        self._troubles += 1
        self.troubles_met += 1
        await asyncio.sleep(min(pause, self._limits.pause_most_seconds))

    def _recovered(self) -> None:
        if self._troubles:
            log.info("The projector goes on.")
        self._troubles = 0


def _report(letter: DeadLetter) -> None:
    arrival = letter.arrival
    log.error(
        "session %s is parked: %s (partition %d, offset %d)",
        arrival.session_id,
        letter.error,
        arrival.partition,
        arrival.offset,
    )
