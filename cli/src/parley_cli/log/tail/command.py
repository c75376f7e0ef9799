"""The run of `parley log tail`, from what was asked for to the last line."""

import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from parley_cli.log.tail.filters import FilterOptions, RecordFilter
from parley_cli.log.tail.formatting import as_json, as_lines
from parley_cli.log.tail.log_record import LogRecord
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.traversal import Positions, in_time_order, last_of, onwards
from parley_cli.log.tail.unsealing import Unsealer
from parley_core.auth.principal import InternalSecret
from parley_core.http.service_client import ServiceClient, http_session
from parley_core.log import Brokers, LogError, LogReader, partition_of

DEFAULT_COUNT = 20
# The log is read from this much before `since`: the clocks of writers and brokers may differ.
CLOCKS_APART = timedelta(minutes=1)


@dataclass(frozen=True)
class TailOptions:
    """With a start, the first `count` from there (None: all); else the last `count` (None: 20)."""

    selection: FilterOptions
    count: int | None = None
    follow: bool = False
    as_json: bool = False

    @property
    def has_start(self) -> bool:
        return bool(self.selection.starts) or self.selection.since is not None


@dataclass(frozen=True)
class KeyHolder:
    """Who gives the keys of what is sealed."""

    session_url: str
    secret: InternalSecret


async def tail(brokers: Brokers, topic: str, asked: TailOptions, keys: KeyHolder | None) -> None:
    """Print what was asked for; what is sealed only when there are `keys`.

    Raises LogError, KeysUnavailable.
    """
    # What the client logs of a broker that is away is told in one line here.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    async with AsyncExitStack() as stack:
        contents = await _contents(stack, keys) if keys else None
        reader = LogReader(brokers, topic)
        stack.push_async_callback(reader.close)
        await reader.start()
        left = asked.count if asked.has_start else None
        async for batch in _batches(reader, ResilientLog(reader, brokers, _tell), asked):
            await _print(batch[:left], asked, contents)
            if left is not None and (left := left - len(batch)) <= 0:
                return


async def _batches(
    reader: LogReader, log: ResilientLog, asked: TailOptions
) -> AsyncIterator[Sequence[LogRecord]]:
    wanted, count = RecordFilter(asked.selection).lets_through, asked.count or DEFAULT_COUNT
    ends = await reader.end_positions()
    places = _partitions(asked.selection, ends)
    ends = {at: ends[at] for at in places}
    starts = {at: start for at, start in (await _starts(reader, asked)).items() if at in places}
    if asked.has_start:
        async for batch in in_time_order(log, wanted, starts, ends):
            yield batch
    elif asked.selection.owner:
        last: deque[LogRecord] = deque(maxlen=count)
        async for batch in in_time_order(log, wanted, starts, ends):
            last.extend(batch)
        yield list(last)
    else:
        yield await last_of(log, wanted, starts, ends, count)
    if asked.follow:
        async for batch in onwards(log, wanted, ends):
            yield batch


async def _starts(reader: LogReader, asked: TailOptions) -> Positions:
    selection = asked.selection
    if selection.owner is None and selection.starts:
        return selection.starts
    if selection.owner is None and selection.since:
        return await reader.positions_at(selection.since - CLOCKS_APART)
    return await reader.beginning_positions()


def _partitions(selection: FilterOptions, existing: Positions) -> set[int]:
    """Those that may hold what is selected. Raises LogError for one that does not exist."""
    if unknown := selection.starts.keys() - existing.keys():
        raise LogError(f"The log has no partition {min(unknown)}.")
    places = set(selection.starts or existing)
    if selection.sessions:
        numbers = sorted(existing)
        places &= {partition_of(each.encode(), numbers) for each in selection.sessions}
    return places


async def _contents(stack: AsyncExitStack, keys: KeyHolder) -> Unsealer:
    _tell("What people typed and models wrote is shown in clear.")
    http = await stack.enter_async_context(http_session())
    return Unsealer(
        ServiceClient(http, keys.session_url, caller="cli", callee="session", secret=keys.secret)
    )


async def _print(batch: Sequence[LogRecord], asked: TailOptions, contents: Unsealer | None) -> None:
    opened = await contents.opened(batch) if contents else [{} for _ in batch]
    lines: Iterator[str] = (
        line
        for found, fields in zip(batch, opened, strict=True)
        for line in ([as_json(found, fields)] if asked.as_json else as_lines(found, fields))
    )
    print("".join(f"{line}\n" for line in lines), end="", flush=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
