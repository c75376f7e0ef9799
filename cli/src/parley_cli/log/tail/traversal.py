"""The ways through the log: its last events, everything from a place on, whatever is still to come.

Positions are those of LogReader: a partition that is not named is not read.
"""

import heapq
from collections.abc import AsyncIterator, Callable, Mapping

from parley_cli.log.tail.log_record import LogRecord, RecordParser
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.time_order import TimeOrder
from parley_core.log import LogEntry

Positions = Mapping[int, int]
LetsThrough = Callable[[LogRecord], bool]

STALLED_SECONDS = 60.0
# Records that wait for their turn, 2 KB each for events of the usual size.
MOST_HELD = 50_000
# How much longer each step backwards is than the one before it.
STRIDE = 4


async def last_of(
    log: ResilientLog, wanted: LetsThrough, begins: Positions, ends: Positions, count: int
) -> list[LogRecord]:
    """The last `count` before `ends` that are wanted, read backwards in ever longer pieces.

    In a partition a later event is taken to be further behind, as it is but for moments: the relay
    publishes in the order of the commits.
    """
    latest: list[LogRecord] = []
    places, length = {at: end for at, end in ends.items() if end > begins[at]}, count
    while places:
        starts = {at: max(begins[at], place - length) for at, place in places.items()}
        first: dict[int, LogRecord] = {}
        finder = RecordParser()
        async for entries in _between(log, starts, places):
            for found in finder.find(entries):
                first.setdefault(found.partition, found)
                if wanted(found):
                    _keep(latest, found, count)
        places = {
            at: start
            for at, start in starts.items()
            # A piece that begins earlier than all that are kept: what is before it is no later.
            if start > begins[at] and (len(latest) < count or first[at] > latest[0])
        }
        length *= STRIDE
    return sorted(latest)


def _keep(latest: list[LogRecord], found: LogRecord, count: int) -> None:
    if len(latest) < count:
        heapq.heappush(latest, found)
    else:
        heapq.heappushpop(latest, found)


async def in_time_order(
    log: ResilientLog,
    wanted: LetsThrough,
    starts: Positions,
    ends: Positions,
    most_held: int = MOST_HELD,
) -> AsyncIterator[list[LogRecord]]:
    """All that are wanted, up to `ends`: a partition as it stands, several by their times."""
    left = {at: start for at, start in starts.items() if start < ends[at]}
    finder = RecordParser()
    if len(left) == 1:
        async for entries in _between(log, left, ends):
            yield list(filter(wanted, finder.find(entries)))
        return
    order = TimeOrder(left)
    reading: set[int] = set()
    while left:
        # Where too many wait for their turn, only those partitions are read that they wait for.
        needed = order.behind() if len(order) > most_held else set(left)
        if needed != reading & left.keys():
            log.seek({at: left[at] for at in needed})
            reading = needed
        entries = [each for each in await log.read(STALLED_SECONDS) if each.partition in left]
        inside = [each for each in entries if each.offset < ends[each.partition]]
        for found in finder.find(inside):
            if wanted(found):
                order.add(found)
        order.reached(finder.reached)
        for at in _move(left, log.positions, ends):
            order.finished(at)
        yield list(order.ready())


async def onwards(
    log: ResilientLog, wanted: LetsThrough, starts: Positions
) -> AsyncIterator[list[LogRecord]]:
    """What is wanted from there on, as it comes, without end; in order within each batch."""
    log.seek(starts)
    finder = RecordParser()
    while True:
        entries = await log.read(patience=float("inf"))
        yield sorted(filter(wanted, finder.find(entries)))


async def _between(
    log: ResilientLog, starts: Positions, ends: Positions
) -> AsyncIterator[list[LogEntry]]:
    left = dict(starts)
    log.seek(left)
    while left:
        entries = [each for each in await log.read(STALLED_SECONDS) if each.partition in left]
        yield [each for each in entries if each.offset < ends[each.partition]]
        _move(left, log.positions, ends)


def _move(left: dict[int, int], positions: Positions, ends: Positions) -> list[int]:
    """Move on to the positions; return the partitions that came to their ends."""
    left |= {at: positions[at] for at in left.keys() & positions.keys()}
    done = [at for at, place in left.items() if place >= ends[at]]
    for at in done:
        del left[at]
    return done
