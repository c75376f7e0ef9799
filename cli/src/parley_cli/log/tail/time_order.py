"""Merges the records of several partitions into the order of their times."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from parley_cli.log.tail.log_record import UNKNOWN_TIME, LogRecord


class TimeOrderedMerge:
    """Releases a record once every unfinished partition has been read up to its time."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._read_up_to = dict.fromkeys(partitions, UNKNOWN_TIME)
        self._pending: list[LogRecord] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, record: LogRecord) -> None:
        heapq.heappush(self._pending, record)

    def advance(self, times: Mapping[int, datetime]) -> None:
        """Set the time up to which each partition was read."""
        self._read_up_to |= {p: time for p, time in times.items() if p in self._read_up_to}

    def finish(self, partition: int) -> None:
        """Stop waiting for a partition that was read to its end."""
        self._read_up_to.pop(partition, None)

    def ready(self) -> Iterator[LogRecord]:
        limit = min(self._read_up_to.values(), default=None)
        while self._pending and (limit is None or self._pending[0].time <= limit):
            yield heapq.heappop(self._pending)

    def lagging_partitions(self) -> set[int]:
        """The partitions for which the earliest pending record waits."""
        earliest = self._pending[0].time
        return {partition for partition, time in self._read_up_to.items() if time < earliest}
