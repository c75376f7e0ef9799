"""Turn buffer writer: writes the running replies of this process to their buffers in Redis."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from uuid import UUID

from parley_core.crypto.sealing import DataKey
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.streaming.turn_buffer import buffer_name
from parley_core.streaming.turn_buffer_redis import BufferWrite, TurnBuffers, WriteOutcome
from parley_inference.streaming.buffer_write_state import BufferWriteState
from parley_inference.streaming.live_turn import LiveTurn, ignore_change

log = logging.getLogger(__name__)


# Delay that a reader in another process sees, against calls to Redis.
INTERVAL_SECONDS = 0.05
# Bounds of one call to Redis, which delays all others; the bytes may be exceeded by one turn.
MAX_TURNS_PER_WRITE = 200
MAX_BYTES_PER_WRITE = 4 * 1024 * 1024
# TTL of a buffer: the margin beyond the maximum time of its reply, for retries of the commit and
# the recovery of a lost turn; and the time after the end, for readers that are still behind.
RUNNING_TTL_MARGIN_SECONDS = 120
ENDED_TTL_SECONDS = 90


class TurnBufferWriter:
    """Flushes the new text of all turns at most every `INTERVAL_SECONDS`; no subscriber waits.

    A failed write is retried while its turn runs; the write of an ended turn is tried once.
    """

    def __init__(self, buffers: TurnBuffers) -> None:
        self._buffers = buffers
        self._turns: dict[UUID, BufferWriteState] = {}
        self._due: dict[UUID, BufferWriteState] = {}
        self._erased: set[str] = set()
        self._wake = asyncio.Event()

    def begin(self, live: LiveTurn, key: DataKey, max_seconds: float) -> None:
        """Start writing this turn, whose reply takes `max_seconds` at most."""
        running_ttl = math.ceil(max_seconds + RUNNING_TTL_MARGIN_SECONDS)
        state = BufferWriteState(live, key, running_ttl, ENDED_TTL_SECONDS)
        self._turns[live.id] = state
        live.on_change = self._change_listener(live.id, state)
        live.on_change()

    def erase(self, turn_ids: Iterable[UUID]) -> None:
        """Delete the buffers of these turns and stop writing to them."""
        for turn_id in turn_ids:
            if (state := self._turns.get(turn_id)) is not None:
                self._remove(turn_id, state)
            self._due.pop(turn_id, None)
            self._erased.add(buffer_name(turn_id))
            self._wake.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except Exception as error:
                # Keep flushing: otherwise other processes would stop seeing these replies.
                log_unexpected_error(log, "turn buffer writer", error)
                self._mark_all_due()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def finish(self) -> None:
        """Flush everything before the process exits."""
        self._mark_all_due()
        while (self._due or self._erased) and not self._buffers.is_open:
            await self._flush()

    def _mark_all_due(self) -> None:
        self._due = dict(self._turns)
        self._wake.set()

    async def _flush(self) -> None:
        """Write all that is due now; changes during the flush are due next time."""
        due, self._due = self._due, {}
        while due and not self._buffers.is_open:
            await self._write_batch(due)
        erased, self._erased = self._erased, set()
        if erased:
            await self._buffers.write([BufferWrite(name, ttl_seconds=0) for name in erased])
        self._due = due | self._due
        if self._due:
            self._wake.set()

    async def _write_batch(self, due: dict[UUID, BufferWriteState]) -> None:
        batch: list[tuple[UUID, BufferWriteState]] = []
        writes, size = [], 0
        while due and size < MAX_BYTES_PER_WRITE and len(batch) < MAX_TURNS_PER_WRITE:
            turn_id, state = due.popitem()
            write = state.next_write() if self._turns.get(turn_id) is state else None
            if write is not None:
                batch.append((turn_id, state))
                writes.append(write)
                size += sum(len(entry.sealed) for entry in write.entries)
            elif state.finished:
                self._remove(turn_id, state)
        outcomes = await self._buffers.write(writes) if writes else ()
        for (turn_id, state), outcome in zip(batch, outcomes, strict=True):
            self._record(turn_id, state, outcome)

    def _record(self, turn_id: UUID, state: BufferWriteState, outcome: WriteOutcome) -> None:
        state.record(outcome)
        if state.finished and outcome == "unknown":
            self._remove(turn_id, state)
        else:
            # The next flush finds nothing new, or what changed during the write.
            self._due[turn_id] = state

    def _remove(self, turn_id: UUID, state: BufferWriteState) -> None:
        if self._turns.get(turn_id) is state:
            del self._turns[turn_id]
            # The listener refers to the turn: as a cycle they would outlive it, with its texts,
            # until the next full garbage collection, which may be minutes away.
            state.live.on_change = ignore_change

    def _change_listener(self, turn_id: UUID, state: BufferWriteState) -> Callable[[], None]:
        def on_change() -> None:
            if turn_id not in self._due and self._turns.get(turn_id) is state:
                self._due[turn_id] = state
                self._wake.set()

        return on_change
