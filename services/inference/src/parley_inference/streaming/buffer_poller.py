"""Reading the buffers of the turns that other processes run, for those who read them here."""

import asyncio
import logging
from collections.abc import Sequence

from parley_core.crypto.sealing import DataKey
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.streaming.turn_buffer import TurnBufferReader
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_inference.streaming.live_turn import LiveTurn

log = logging.getLogger(__name__)


class TurnBufferPoller:
    """Looks at all of them every `every_seconds`, and at nothing while there are none.

    A call has `most_turns`, and asks for `most_entries` in all.
    """

    def __init__(
        self, buffers: TurnBuffers, *, every_seconds: float, most_turns: int, most_entries: int
    ) -> None:
        self._buffers, self._every_seconds = buffers, every_seconds
        self._most_turns, self._most_entries = most_turns, most_entries
        self._followed: dict[LiveTurn, TurnBufferReader] = {}
        self._wanted = asyncio.Event()

    def follow(self, live: LiveTurn, key: DataKey) -> None:
        """What its buffer has becomes readable in `live`."""
        self._followed[live] = TurnBufferReader(live.id, key)
        self._wanted.set()

    def leave(self, live: LiveTurn) -> None:
        self._followed.pop(live, None)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if not self._followed:
                self._wanted.clear()
                await self._wanted.wait()
            more = False
            try:
                more = await self._poll()
            except Exception as error:
                # The next look has to come: without it these turns stand still.
                log_unexpected_error(log, "poller", error)
            await asyncio.sleep(0 if more else self._every_seconds)

    async def _poll(self) -> bool:
        """Whether there was as much as had been asked for, of any turn."""
        followed, more = list(self._followed.items()), False
        for at in range(0, len(followed), self._most_turns):
            if await self._read(followed[at : at + self._most_turns]):
                more = True
        return more

    async def _read(self, followed: Sequence[tuple[LiveTurn, TurnBufferReader]]) -> bool:
        most = max(1, self._most_entries // len(followed))
        answers = await self._buffers.read([reading for _, reading in followed], most)
        if answers is None:
            return False
        for (live, reading), entries in zip(followed, answers, strict=True):
            if entries and live in self._followed:
                live.append(reading.apply(entries))
                self._look_at(live, reading)
        return any(len(entries) == most for entries in answers)

    def _look_at(self, live: LiveTurn, reading: TurnBufferReader) -> None:
        if reading.corrupt:
            log.warning("turn %s: its buffer has a gap; its end is waited for", live.id)
        if reading.ended:
            live.publish_end()
        if reading.corrupt or reading.ended:
            self.leave(live)
