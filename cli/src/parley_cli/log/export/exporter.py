"""Exports one stream: reads the log, applies the consumer rule, and writes parts in turns.

While one part is encoded and written in a thread, the next one is read. Memory is bounded by three
times `max_part_bytes` (the part that is read; the one that is written, and a copy of it), and by
the last event of each session.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
from aiokafka import ConsumerRecord
from msgspec.structs import replace

from parley_cli.errors import CommandError
from parley_cli.log.dataset.collected_events import CollectedEvents
from parley_cli.log.dataset.event_tables import Undecodable
from parley_cli.log.dataset.export_writer import AppliedEvents, ExportWriter
from parley_cli.log.dataset.manifest import StreamState
from parley_cli.log.dataset.part_files import Opened
from parley_cli.log.dataset.raw_events import RawEvent, raw_events
from parley_cli.log.export.content_opener import ContentOpener
from parley_cli.log.export.progress import ProgressReport
from parley_cli.log.tail.resilient_reader import MAX_RECORDS
from parley_core.log import MessageBatches
from parley_events.asyncapi.streams import Stream
from parley_events.consumer_rule import ConsumerRule, TooManyDeferred

STALL_TIMEOUT_SECONDS = 60.0
# The thread that writes releases the interpreter lock some 30 times per file, and waits for this
# long to get it back from a busy reader. With Python's default of 5 ms it took twice as long.
_SWITCH_INTERVAL_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """A part has at most this many events, or a batch more than these bytes of values."""

    max_part_bytes: int = 192 * 1024 * 1024
    max_part_events: int = 200_000
    checkpoint_seconds: float = 10.0


class Log(Protocol):
    """`ResilientLog` implements it."""

    @property
    def positions(self) -> Mapping[int, int]: ...
    def seek(self, positions: Mapping[int, int]) -> None: ...
    async def read_messages(self, stall_timeout: float, max_records: int) -> MessageBatches: ...


class StreamExporter:
    """Exports the records of a stream from the positions of `state` up to `ends`."""

    def __init__(
        self,
        stream: Stream,
        state: StreamState,
        applied: AppliedEvents,
        writer: ExportWriter,
        *,
        opener: ContentOpener | None = None,
        limits: ExportLimits | None = None,
    ) -> None:
        self._stream, self._state, self._writer = stream, state, writer
        self._opener, self._limits = opener, limits or ExportLimits()
        selection = writer.manifest.selection
        rule = ConsumerRule[bytes, RawEvent](applied, starts_anywhere=selection.starts_midway)
        rule.forked = {session.encode(): at for session, at in state.forked.items()}
        for event in state.deferred:
            rule.receive(event.key, event.sequence, event.id, event)
        self._events = CollectedEvents(selection, rule, state.undecodable)
        self._writing: asyncio.Task[None] | None = None
        self._checkpoint_at = time.monotonic() + self._limits.checkpoint_seconds
        # Only the thread that writes changes it, one part after the other.
        self._invalid_values: list[Undecodable] = []

    async def run(self, log: Log, ends: Mapping[int, int], progress: ProgressReport) -> None:
        """Raises LogError, CommandError."""
        switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
        # Collections would look at each record of a batch many times: half of the reader's time.
        gc.disable()
        # It reuses the memory of one part for the next, while Arrow's default returns it to the
        # system; page faults took a tenth of the time.
        memory_pool = pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
        try:
            await self._run(log, ends, progress)
        finally:
            gc.enable()
            pa.set_memory_pool(memory_pool)
            sys.setswitchinterval(switch_interval)

    async def _run(self, log: Log, ends: Mapping[int, int], progress: ProgressReport) -> None:
        positions = dict(self._state.positions)
        unread = {p: at for p, at in positions.items() if at < ends[p]}
        progress.start(f"Stream {self._stream.channel}", sum(ends[p] - unread[p] for p in unread))
        try:
            if unread:
                log.seek(unread)
            while unread:
                max_records = min(MAX_RECORDS, self._limits.max_part_events - self._events.count)
                batches = await log.read_messages(STALL_TIMEOUT_SECONDS, max_records)
                for target, messages in batches.items():
                    self._add(target.partition, messages, ends[target.partition])
                before = sum(unread.values())
                for partition in [*unread]:
                    # Transaction markers have offsets too; new records may follow the end.
                    at = min(log.positions.get(partition, unread[partition]), ends[partition])
                    positions[partition] = at
                    unread[partition] = at
                progress.advance(sum(unread.values()) - before)
                unread = {p: at for p, at in unread.items() if at < ends[p]}
                if self._is_full():
                    await self._write(positions)
            await self._write(positions, checkpoint=True)
            await self._written_part()
        except TooManyDeferred as error:
            raise CommandError(
                f"The log is incomplete: {error}. `parley log verify` lists the missing events, "
                "and `parley log restore` publishes them again."
            ) from None
        finally:
            if self._writing is not None:
                self._writing.cancel()

    def _add(self, partition: int, messages: Sequence[ConsumerRecord], end: int) -> None:
        if messages[-1].offset >= end:
            messages = [each for each in messages if each.offset < end]
        if messages:
            self._events.add(partition, messages)

    def _is_full(self) -> bool:
        events, limits = self._events, self._limits
        return events.count >= limits.max_part_events or events.size >= limits.max_part_bytes

    async def _write(self, positions: Mapping[int, int], *, checkpoint: bool = False) -> None:
        """Write the collected events as soon as the previous ones are written."""
        events = self._events.take()
        # Cycles that the client left.
        gc.collect(0)
        opened = await self._opened(events)
        await self._written_part()
        state = None
        if checkpoint or time.monotonic() >= self._checkpoint_at:
            self._checkpoint_at = time.monotonic() + self._limits.checkpoint_seconds
            # Copies: while the thread writes, more events arrive.
            state = (self._state_at(positions), dict(self._events.rule.applied))
        writing = asyncio.to_thread(self._write_in_thread, events, opened, state)
        self._writing = asyncio.create_task(writing)

    async def _written_part(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing

    def _write_in_thread(
        self,
        events: pa.Table,
        opened: Opened | None,
        state: tuple[StreamState, AppliedEvents] | None,
    ) -> None:
        self._invalid_values += self._writer.write_parts(events, opened)
        if state is not None:
            at, applied = state
            at = replace(at, undecodable=at.undecodable.plus(self._invalid_values))
            self._writer.checkpoint(self._stream.channel, at, applied)

    def _state_at(self, positions: Mapping[int, int]) -> StreamState:
        rule = self._events.rule
        unopened = self._opener.unopened_fields if self._opener else 0
        return replace(
            self._state,
            positions=dict(positions),
            repeats=self._state.repeats + rule.repeats,
            deferred=[event for each in rule.deferred.values() for _, event in each.values()],
            forked={session.decode(): at for session, at in rule.forked.items()},
            undecodable=self._events.undecodable,
            unopened_fields=self._state.unopened_fields + unopened,
        )

    async def _opened(self, events: pa.Table) -> Opened | None:
        if self._opener is None:
            return None
        opened: dict[tuple[int, int], Mapping[str, str | None]] = {}
        for batch in events.to_batches():
            opened |= await self._opener.open(raw_events(batch))
        return opened
