"""Projector: consumes the log as a member of a group and applies it to the read model in batches.

The positions in the read model, updated in the transaction of their effect, are the source of
truth. After any failure the projector reads them again and resumes there.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from parley_core.log import LogEntry, LogError, LogUnreachable, PositionOutOfRange, TopicMissing
from parley_core.log.group_reader import LoadPositions
from parley_core.runtime.backoff import Backoff
from parley_core.tracing.spans import batch_span
from parley_events.session import Event
from parley_events.topics import SESSIONS_TOPIC
from parley_history.domain.batch import DeadLetter
from parley_history.domain.incoming_record import IncomingRecord, decode_incoming
from parley_history.storage.database_errors import DATABASE_ERRORS
from parley_history.storage.positions import PositionConflict, PositionUpdate

log = logging.getLogger(__name__)

# Joining a group while Kafka rebalances it takes up to a session timeout.
JOIN_TIMEOUT_SECONDS: float = 30
# The longest wait of an idle read. It bounds how late a revoked partition is noticed.
READ_TIMEOUT_SECONDS = 0.5
# Committed offsets only show the lag to Kafka's own tools, so one commit per second is enough.
OFFSET_COMMIT_INTERVAL_SECONDS: float = 1
RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS = 0.1, 2.0

_LOST_RECORDS_REMEDY = (
    "If the topic was lost, run `parley log restore`; then run `parley rebuild history`. "
    "Projection is stopped until then."
)


class ConsumerGroupMember(Protocol):
    """`parley_core.log.GroupReader` implements it."""

    @property
    def partitions(self) -> frozenset[int]: ...
    @property
    def positions(self) -> Mapping[int, int]: ...
    @property
    def is_outdated(self) -> bool: ...
    async def start(self, timeout: float) -> None: ...
    async def read(self, max_records: int, timeout: float) -> list[LogEntry]: ...
    def seek(self, partition: int, position: int) -> None: ...
    async def commit_offsets(self, positions: Mapping[int, int]) -> None: ...
    async def close(self) -> None: ...


class ReadModel(Protocol):
    """`ActiveReadModel` implements it."""

    async def positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]: ...
    async def apply(
        self, records: Sequence[IncomingRecord], updates: Sequence[PositionUpdate]
    ) -> Sequence[DeadLetter]: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ProjectorObserver:
    """Told what happens, for probes and metrics; `observe_delays` gets the times of events."""

    on_joined: Callable[[], None] = lambda: None
    on_log_result: Callable[[bool], None] = lambda _: None
    on_database_result: Callable[[bool], None] = lambda _: None
    observe_delays: Callable[[Iterable[datetime]], None] = lambda _: None


class Projector:
    """`joined` is whether it is a member of its group. Its counters start with the process."""

    def __init__(
        self,
        new_group_member: Callable[[LoadPositions], ConsumerGroupMember],
        read_model: ReadModel,
        batch_size: int,
        *,
        observer: ProjectorObserver | None = None,
        topic: str = SESSIONS_TOPIC,
    ) -> None:
        """`new_group_member` gets the function that returns the positions to start from.

        `topic` names the log in traces.
        """
        self._topic = topic
        self._observer = observer or ProjectorObserver()
        self._log, self._read_model = new_group_member(self._positions_of), read_model
        self._batch_size = batch_size
        self._next: dict[int, int] = {}
        self._must_seek = False
        self._out_of_range: PositionOutOfRange | None = None
        self._uncommitted: dict[int, int] = {}
        self._committed_at = 0.0
        self._backoff = Backoff(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
        self._failing = False
        self.joined = False
        self.failures = 0
        self.events_projected = 0
        self.sessions_parked = 0
        self._unprojected: dict[int, datetime] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions assigned to this process."""
        return self._log.partitions if self.joined else frozenset()

    @property
    def oldest_unprojected(self) -> datetime | None:
        """The time of the oldest event that was read from them and is not projected yet."""
        partitions = self.partitions
        times = (time for partition, time in self._unprojected.items() if partition in partitions)
        return min(times, default=None)

    @property
    def is_working(self) -> bool:
        """Whether it has joined its group and its last step succeeded."""
        return self.joined and not self._failing

    async def run(self) -> None:
        """Run until cancelled. Raises LogError when Kafka refuses the group or the topic."""
        try:
            while True:
                if not self.joined:
                    await self._join()
                elif self._log.is_outdated:
                    await self._leave()
                else:
                    await self._project_next_batch()
        finally:
            await self._log.close()
            await self._read_model.close()

    async def _join(self) -> None:
        try:
            await self._log.start(JOIN_TIMEOUT_SECONDS)
        except (LogUnreachable, TopicMissing) as error:
            # Kafka, or what creates the topic, may be starting too: restarts would not help.
            self._observer.on_log_result(False)
            await self._back_off(str(error))
        else:
            self.joined = True
            self._observer.on_joined()

    async def _leave(self) -> None:
        log.info("the password of Kafka has changed: joining the group again with the new one")
        await self._log.close()
        self.joined = False

    async def _project_next_batch(self) -> None:
        try:
            if self._must_seek:
                await self._seek_to_positions()
            entries = await self._log.read(self._batch_size, READ_TIMEOUT_SECONDS)
            await self._project(entries)
        except PositionOutOfRange as error:
            self._out_of_range = error
            self._must_seek = True
            await self._back_off(f"{error} {_LOST_RECORDS_REMEDY}")
        except PositionConflict:
            log.info("another projector moved the positions; reading them again")
            self._must_seek = True
        except LogError as error:
            self._observer.on_log_result(False)
            await self._back_off(str(error))
        except DATABASE_ERRORS as error:
            # Only the class: the message of a database error may quote a row.
            self._must_seek = True
            self._observer.on_database_result(False)
            await self._read_model.close()
            await self._back_off(f"The read model is unavailable: {type(error).__name__}.")
        else:
            self._observer.on_log_result(True)
            self._recover()
            await self._commit_offsets()

    async def _project(self, entries: Sequence[LogEntry]) -> None:
        # Also past control records; those at the end of the log would otherwise remain as lag.
        ends = {at: end for at, end in self._log.positions.items() if end > self._next[at]}
        if not ends:
            return
        updates = [
            PositionUpdate(partition, self._next[partition], end) for partition, end in ends.items()
        ]
        incoming = [decode_incoming(*entry) for entry in entries]
        times: list[datetime] = []
        for each in incoming:
            if isinstance(each.event, Event):
                times.append(each.event.time)
                # Not replaced: after a failure, the age of the first one grows.
                self._unprojected.setdefault(each.partition, each.event.time)
        creators = (each.event.traceparent for each in incoming if isinstance(each.event, Event))
        with batch_span("process", self._topic, len(incoming), creators):
            parked = await self._read_model.apply(incoming, updates)
        self._observer.on_database_result(True)
        for partition in ends:
            self._unprojected.pop(partition, None)
        self._observer.observe_delays(times)
        self._next |= ends
        self._uncommitted |= ends
        self.events_projected += len(entries)
        self.sessions_parked += len(parked)
        for letter in parked:
            _log_parked(letter)

    async def _positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]:
        positions = await self._read_model.positions_of(partitions)
        # What was read before may be projected by now, by another projector; else it is read again.
        for partition in partitions:
            self._unprojected.pop(partition, None)
        self._next |= positions
        return positions

    async def _seek_to_positions(self) -> None:
        """Resume from the read model's positions: the outcome of a failed commit is unknown."""
        positions = await self._positions_of(sorted(self._log.partitions))
        lost = self._out_of_range
        if lost and positions.get(lost.partition) == lost.position:
            # Even if the log has grown past the position: its record there is not the lost one.
            raise lost.with_traceback(None)
        self._out_of_range = None
        for partition, position in positions.items():
            self._log.seek(partition, position)
        self._must_seek = False

    async def _commit_offsets(self) -> None:
        elapsed = time.monotonic() - self._committed_at
        if self._uncommitted and elapsed >= OFFSET_COMMIT_INTERVAL_SECONDS:
            offsets, self._uncommitted = self._uncommitted, {}
            await self._log.commit_offsets(offsets)
            self._committed_at = time.monotonic()

    async def _back_off(self, reason: str) -> None:
        if not self._failing:
            log.warning("projector paused, retrying: %s", reason)
        self._failing = True
        self.failures += 1
        await asyncio.sleep(self._backoff.next_delay() or 0)

    def _recover(self) -> None:
        if self._failing:
            log.info("projector recovered")
            self._failing = False
            self._backoff.reset()


def _log_parked(letter: DeadLetter) -> None:
    incoming = letter.incoming
    log.error(
        "session %s parked: %s (partition %d, offset %d)",
        incoming.session_id,
        letter.error,
        incoming.partition,
        incoming.offset,
    )
