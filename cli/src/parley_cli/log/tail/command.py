"""Prints the log for `parley log tail`: selects partitions and positions, reads and filters."""

import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from parley_cli.log.tail.filters import FilterOptions, RecordFilter
from parley_cli.log.tail.formatting import as_json, as_lines
from parley_cli.log.tail.log_record import LogRecord
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.traversal import Positions, follow, read_last, read_range
from parley_cli.service_commands.locations import SessionAccess
from parley_core.log import Brokers, LogError, LogReader, partition_of

if TYPE_CHECKING:
    from parley_cli.log.tail.unsealing import Unsealer

DEFAULT_LIMIT = 20
# The log is read from this much before `since`, because writers' and brokers' clocks may differ.
MAX_CLOCK_SKEW = timedelta(minutes=1)
UUID_LENGTH = 36


@dataclass(frozen=True)
class TailOptions:
    """With a start, the first `limit` events (None: all); otherwise the last `limit` (None: 20).

    `columns` is the width of the terminal, None for output of any width.
    """

    filters: FilterOptions
    limit: int | None = None
    follow: bool = False
    as_json: bool = False
    columns: int | None = None

    @property
    def has_start(self) -> bool:
        return bool(self.filters.starts) or self.filters.since is not None


async def tail(
    brokers: Brokers, topic: str, options: TailOptions, session: SessionAccess | None
) -> None:
    """Print the selected events, with the sealed fields in clear text if `session` is given.

    Raises LogError, KeysUnavailable.
    """
    # Outages are reported in one line by ResilientLog, not by the client's own log lines.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    async with AsyncExitStack() as stack:
        unsealer = await _unsealer(stack, session) if session else None
        reader = LogReader(brokers, topic)
        stack.push_async_callback(reader.close)
        await reader.start()
        log = ResilientLog(reader, brokers, _print_notice)
        remaining = options.limit if options.has_start else None
        async for batch in _batches(reader, log, options):
            await _print(batch[:remaining], options, unsealer)
            if remaining is not None and (remaining := remaining - len(batch)) <= 0:
                return


async def _batches(
    reader: LogReader, log: ResilientLog, options: TailOptions
) -> AsyncIterator[Sequence[LogRecord]]:
    matches, count = RecordFilter(options.filters).matches, options.limit or DEFAULT_LIMIT
    ends = await reader.end_positions()
    partitions = _partitions(options.filters, ends)
    ends = {p: ends[p] for p in partitions}
    starts = {p: s for p, s in (await _starts(reader, options)).items() if p in partitions}
    if options.has_start:
        async for batch in read_range(log, matches, starts, ends):
            yield batch
    elif options.filters.owner:
        last: deque[LogRecord] = deque(maxlen=count)
        async for batch in read_range(log, matches, starts, ends):
            last.extend(batch)
        yield list(last)
    else:
        yield await read_last(log, matches, starts, ends, count)
    if options.follow:
        async for batch in follow(log, matches, ends):
            yield batch


async def _starts(reader: LogReader, options: TailOptions) -> Positions:
    filters = options.filters
    if filters.owner is None and filters.starts:
        return filters.starts
    if filters.owner is None and filters.since:
        return await reader.positions_at(filters.since - MAX_CLOCK_SKEW)
    return await reader.beginning_positions()


def _partitions(filters: FilterOptions, existing: Positions) -> set[int]:
    """The partitions that may hold matching records. Raises LogError for an unknown one."""
    if unknown := filters.starts.keys() - existing.keys():
        raise LogError(f"The log has no partition {min(unknown)}.")
    partitions = set(filters.starts or existing)
    # The beginning of an id does not tell its partition.
    if filters.sessions and all(len(session) == UUID_LENGTH for session in filters.sessions):
        numbers = sorted(existing)
        partitions &= {partition_of(session.encode(), numbers) for session in filters.sessions}
    return partitions


async def _unsealer(stack: AsyncExitStack, session: SessionAccess) -> "Unsealer":
    # Imported here: without content, no HTTP client is needed.
    from parley_cli.log.tail.unsealing import open_unsealer

    _print_notice("Message content is printed in clear text.")
    return await stack.enter_async_context(open_unsealer(session))


async def _print(
    batch: Sequence[LogRecord], options: TailOptions, unsealer: "Unsealer | None"
) -> None:
    unsealed = await unsealer.unseal_all(batch) if unsealer else [{} for _ in batch]
    lines: Iterator[str] = (
        line
        for record, fields in zip(batch, unsealed, strict=True)
        for line in (
            [as_json(record, fields)]
            if options.as_json
            else as_lines(record, fields, options.columns)
        )
    )
    print("".join(f"{line}\n" for line in lines), end="", flush=True)


def _print_notice(line: str) -> None:
    print(line, file=sys.stderr)
