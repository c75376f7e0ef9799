"""Brings the records of several partitions into the order of their times."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from parley_cli.log.tail.log_record import LONG_AGO, LogRecord


class TimeOrder:
    """Gives a record out once every partition that is still read has come as far as its time."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._reached = dict.fromkeys(partitions, LONG_AGO)
        self._held: list[LogRecord] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(self, found: LogRecord) -> None:
        heapq.heappush(self._held, found)

    def reached(self, times: Mapping[int, datetime]) -> None:
        """How far each of the partitions was read."""
        self._reached |= {at: time for at, time in times.items() if at in self._reached}

    def finished(self, partition: int) -> None:
        """Nothing more will come from it."""
        self._reached.pop(partition, None)

    def ready(self) -> Iterator[LogRecord]:
        limit = min(self._reached.values(), default=None)
        while self._held and (limit is None or self._held[0].time <= limit):
            yield heapq.heappop(self._held)

    def behind(self) -> set[int]:
        """The partitions that the earliest record held waits for."""
        return {at for at, time in self._reached.items() if time < self._held[0].time}
