"""Turn buffer poller: reads the buffers of the turns that other processes run."""

import asyncio
import logging
from collections.abc import Sequence

from parley_core.crypto.sealing import DataKey
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.streaming.turn_buffer import TurnBufferReader
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_inference.streaming.live_turn import LiveTurn

log = logging.getLogger(__name__)


# The interval at which the writer flushes.
INTERVAL_SECONDS = 0.05
# Bounds of one call to Redis, which delays all others: buffers read, and entries in all.
MAX_TURNS_PER_READ = 200
MAX_ENTRIES_PER_READ = 1_000


class TurnBufferPoller:
    """Polls all followed turns every `INTERVAL_SECONDS`; idle while there are none."""

    def __init__(self, buffers: TurnBuffers) -> None:
        self._buffers = buffers
        self._followed: dict[LiveTurn, TurnBufferReader] = {}
        self._any_followed = asyncio.Event()

    def follow(self, live: LiveTurn, key: DataKey) -> None:
        """Append to `live` what arrives in its buffer."""
        self._followed[live] = TurnBufferReader(live.id, key)
        self._any_followed.set()

    def unfollow(self, live: LiveTurn) -> None:
        self._followed.pop(live, None)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            if not self._followed:
                self._any_followed.clear()
                await self._any_followed.wait()
            more = False
            try:
                more = await self._poll()
            except Exception as error:
                # Keep polling: otherwise every followed turn would stall.
                log_unexpected_error(log, "turn buffer poller", error)
            await asyncio.sleep(0 if more else INTERVAL_SECONDS)

    async def _poll(self) -> bool:
        """Return whether a buffer returned as many entries as requested, so may have more."""
        followed, more = list(self._followed.items()), False
        for start in range(0, len(followed), MAX_TURNS_PER_READ):
            if await self._read(followed[start : start + MAX_TURNS_PER_READ]):
                more = True
        return more

    async def _read(self, followed: Sequence[tuple[LiveTurn, TurnBufferReader]]) -> bool:
        limit = max(1, MAX_ENTRIES_PER_READ // len(followed))
        batches = await self._buffers.read([reader for _, reader in followed], limit)
        if batches is None:
            return False
        for (live, reader), entries in zip(followed, batches, strict=True):
            if entries and live in self._followed:
                live.append(reader.apply(entries))
                self._check(live, reader)
        return any(len(entries) == limit for entries in batches)

    def _check(self, live: LiveTurn, reader: TurnBufferReader) -> None:
        if reader.corrupt:
            log.warning("turn %s: gap in its buffer; waiting for its end", live.id)
        if reader.ended:
            live.publish_end()
        if reader.corrupt or reader.ended:
            self.unfollow(live)
