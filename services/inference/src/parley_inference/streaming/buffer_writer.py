"""Writing what readers may see here to the buffers, from which other processes show it."""

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
from parley_inference.streaming.live_turn import LiveTurn

log = logging.getLogger(__name__)


class TurnBufferWriter:
    """Writes what is new of all turns at most every `every_seconds`; no reader waits for it.

    A call has `most_turns` and `most_bytes`, or one turn more. What could not be written stays due
    while its turn goes on; one that is over is tried once.
    """

    def __init__(
        self,
        buffers: TurnBuffers,
        *,
        every_seconds: float,
        most_turns: int,
        most_bytes: int,
        grace_seconds: float,
        keep_ended_seconds: int,
    ) -> None:
        self._buffers, self._every_seconds = buffers, every_seconds
        self._most_turns, self._most_bytes = most_turns, most_bytes
        self._grace_seconds, self._keep_ended_seconds = grace_seconds, keep_ended_seconds
        self._turns: dict[UUID, BufferWriteState] = {}
        self._due: dict[UUID, BufferWriteState] = {}
        self._erased: set[str] = set()
        self._news = asyncio.Event()

    def begin(self, live: LiveTurn, key: DataKey, seconds: float) -> None:
        """Keep the buffer of this turn from now on; its reply takes `seconds` at most."""
        keep_running = math.ceil(seconds + self._grace_seconds)
        turn = BufferWriteState(live, key, keep_running, self._keep_ended_seconds)
        self._turns[live.id] = turn
        live.on_news = self._news_of(live.id, turn)
        live.on_news()

    def erase(self, turn_ids: Iterable[UUID]) -> None:
        """Drop their buffers, and write no more to them."""
        for turn_id in turn_ids:
            self._turns.pop(turn_id, None)
            self._due.pop(turn_id, None)
            self._erased.add(buffer_name(turn_id))
            self._news.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._flush()
            except Exception as error:
                # The next flush has to come: without it no other process shows anything.
                log_unexpected_error(log, "flusher", error)
                self._all_are_due()
            await asyncio.sleep(self._every_seconds)

    async def finish(self) -> None:
        """BufferWrite what there is: this process ends."""
        self._all_are_due()
        while (self._due or self._erased) and not self._buffers.is_open:
            await self._flush()

    def _all_are_due(self) -> None:
        self._due = dict(self._turns)
        self._news.set()

    async def _flush(self) -> None:
        """What is new now; what becomes new meanwhile is due the next time."""
        due, self._due = self._due, {}
        while due and not self._buffers.is_open:
            await self._write_some(due)
        erased, self._erased = self._erased, set()
        if erased:
            await self._buffers.write([BufferWrite(name, ttl_seconds=0) for name in erased])
        self._due = due | self._due
        if self._due:
            self._news.set()

    async def _write_some(self, due: dict[UUID, BufferWriteState]) -> None:
        turns: list[tuple[UUID, BufferWriteState]] = []
        writes, size = [], 0
        while due and size < self._most_bytes and len(turns) < self._most_turns:
            turn_id, turn = due.popitem()
            write = turn.write() if self._turns.get(turn_id) is turn else None
            if write is not None:
                turns.append((turn_id, turn))
                writes.append(write)
                size += sum(len(entry.sealed) for entry in write.entries)
            elif turn.over:
                self._forget(turn_id, turn)
        outcomes = await self._buffers.write(writes) if writes else ()
        for (turn_id, turn), outcome in zip(turns, outcomes, strict=True):
            self._wrote(turn_id, turn, outcome)

    def _wrote(self, turn_id: UUID, turn: BufferWriteState, outcome: WriteOutcome) -> None:
        turn.wrote(outcome)
        if turn.over and outcome == "unknown":
            self._forget(turn_id, turn)
        else:
            # The next time finds nothing new, or what came meanwhile.
            self._due[turn_id] = turn

    def _forget(self, turn_id: UUID, turn: BufferWriteState) -> None:
        if self._turns.get(turn_id) is turn:
            del self._turns[turn_id]

    def _news_of(self, turn_id: UUID, turn: BufferWriteState) -> Callable[[], None]:
        def news() -> None:
            if turn_id not in self._due and self._turns.get(turn_id) is turn:
                self._due[turn_id] = turn
                self._news.set()

        return news
