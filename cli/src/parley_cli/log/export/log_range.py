"""The range of positions that an export reads, from its selection."""

from collections.abc import Container, Mapping

from parley_cli.errors import CommandError
from parley_cli.log.dataset.manifest import SESSIONS, Selection
from parley_cli.log.tail.command import MAX_CLOCK_SKEW
from parley_core.log import LogReader
from parley_events.asyncapi.streams import Stream


async def range_starts(
    reader: LogReader, stream: Stream, selection: Selection, exported: Container[int]
) -> dict[int, int]:
    """The positions from which to read the partitions that were not `exported` before.

    Raises CommandError, LogError.
    """
    starts = await _selected_starts(reader, stream, selection, exported)
    return {partition: at for partition, at in starts.items() if partition not in exported}


async def _selected_starts(
    reader: LogReader, stream: Stream, selection: Selection, exported: Container[int]
) -> Mapping[int, int]:
    beginnings = await reader.beginning_positions()
    if stream.channel == SESSIONS and selection.starts:
        _require_partitions(selection.starts, beginnings)
        for partition, start in selection.starts.items():
            if partition not in exported and start < beginnings[partition]:
                raise CommandError(_cut(stream, partition, beginnings[partition]))
        return selection.starts
    if selection.since:
        return await reader.positions_at(selection.since - MAX_CLOCK_SKEW)
    for partition, beginning in beginnings.items():
        if beginning and partition not in exported:
            raise CommandError(_cut(stream, partition, beginning))
    return beginnings


def selected_ends(
    stream: Stream, selection: Selection, ends: Mapping[int, int]
) -> Mapping[int, int]:
    """The ends of the log, or those of the selection. Raises CommandError."""
    if stream.channel != SESSIONS or not selection.ends:
        return ends
    _require_partitions(selection.ends, ends)
    for partition, end in selection.ends.items():
        if end > ends[partition]:
            raise CommandError(
                f"The log has no position {partition}:{end}: it ends at "
                f"{partition}:{ends[partition]}."
            )
    # Partitions that the selection does not name are left out.
    return {partition: selection.ends.get(partition, 0) for partition in ends}


def _require_partitions(named: Mapping[int, int], existing: Mapping[int, int]) -> None:
    if unknown := named.keys() - existing.keys():
        raise CommandError(f"The log has no partition {min(unknown)}.")


def _cut(stream: Stream, partition: int, beginning: int) -> str:
    return (
        f"Partition {partition} of {stream.topic} begins at {beginning}: earlier records were "
        "deleted. `parley log restore` publishes the events that the event store still has; "
        f"--since, or --from {partition}:{beginning}, exports what the log has."
    )
