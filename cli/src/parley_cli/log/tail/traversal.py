"""Traversals of the log: the last records, a range in order of time, or new records as they come.

Positions map partitions to offsets, as in LogReader: a partition without a position is not read.
"""

import heapq
from collections.abc import AsyncIterator, Callable, Mapping

from parley_cli.log.tail.log_record import LogRecord, RecordParser
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.time_order import TimeOrderedMerge
from parley_core.log import LogEntry

Positions = Mapping[int, int]
Predicate = Callable[[LogRecord], bool]

STALL_TIMEOUT_SECONDS = 60.0
# Records buffered for the merge, about 2 KB each.
MAX_BUFFERED_RECORDS = 50_000
# Each step backwards reads this many times as many offsets as the one before it.
WINDOW_GROWTH = 4


async def read_last(
    log: ResilientLog, matches: Predicate, beginnings: Positions, ends: Positions, count: int
) -> list[LogRecord]:
    """The last `count` matching records before `ends`, found by reading ever larger windows back.

    Assumes that times increase within a partition, apart from milliseconds: the relay publishes in
    commit order.
    """
    latest: list[LogRecord] = []
    window_ends = {p: end for p, end in ends.items() if end > beginnings[p]}
    length = count
    while window_ends:
        window_starts = {p: max(beginnings[p], end - length) for p, end in window_ends.items()}
        first: dict[int, LogRecord] = {}
        parser = RecordParser()
        async for entries in _entries_between(log, window_starts, window_ends):
            for record in parser.parse(entries):
                first.setdefault(record.partition, record)
                if matches(record):
                    _keep_latest(latest, record, count)
        window_ends = {
            p: start
            for p, start in window_starts.items()
            # Once a window begins before all collected records, what precedes it is older still.
            if start > beginnings[p] and (len(latest) < count or first[p] > latest[0])
        }
        length *= WINDOW_GROWTH
    return sorted(latest)


def _keep_latest(latest: list[LogRecord], record: LogRecord, count: int) -> None:
    if len(latest) < count:
        heapq.heappush(latest, record)
    else:
        heapq.heappushpop(latest, record)


async def read_range(
    log: ResilientLog,
    matches: Predicate,
    starts: Positions,
    ends: Positions,
    max_buffered: int = MAX_BUFFERED_RECORDS,
) -> AsyncIterator[list[LogRecord]]:
    """All matching records up to `ends`: one partition in log order, several merged by time."""
    unread = {p: start for p, start in starts.items() if start < ends[p]}
    parser = RecordParser()
    if len(unread) == 1:
        async for entries in _entries_between(log, unread, ends):
            yield list(filter(matches, parser.parse(entries)))
        return
    merge = TimeOrderedMerge(unread)
    reading: set[int] = set()
    while unread:
        # With a full buffer, read only the partitions that hold up the merge.
        needed = merge.lagging_partitions() if len(merge) > max_buffered else set(unread)
        if needed != reading & unread.keys():
            log.seek({p: unread[p] for p in needed})
            reading = needed
        entries = [e for e in await log.read(STALL_TIMEOUT_SECONDS) if e.partition in unread]
        for record in parser.parse([e for e in entries if e.offset < ends[e.partition]]):
            if matches(record):
                merge.add(record)
        merge.advance(parser.latest_times)
        for partition in _advance(unread, log.positions, ends):
            merge.finish(partition)
        yield list(merge.ready())


async def follow(
    log: ResilientLog, matches: Predicate, starts: Positions
) -> AsyncIterator[list[LogRecord]]:
    """Matching records from `starts` on, without end; sorted by time within each batch."""
    log.seek(starts)
    parser = RecordParser()
    while True:
        entries = await log.read(stall_timeout=float("inf"))
        yield sorted(filter(matches, parser.parse(entries)))


async def _entries_between(
    log: ResilientLog, starts: Positions, ends: Positions
) -> AsyncIterator[list[LogEntry]]:
    unread = dict(starts)
    log.seek(unread)
    while unread:
        entries = [e for e in await log.read(STALL_TIMEOUT_SECONDS) if e.partition in unread]
        yield [e for e in entries if e.offset < ends[e.partition]]
        _advance(unread, log.positions, ends)


def _advance(unread: dict[int, int], positions: Positions, ends: Positions) -> list[int]:
    """Advance to the positions; remove and return the partitions that reached their ends."""
    unread |= {p: positions[p] for p in unread.keys() & positions.keys()}
    finished = [p for p, position in unread.items() if position >= ends[p]]
    for partition in finished:
        del unread[partition]
    return finished
