"""What is streamed in one process and read in another goes through Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parley_core.runtime.background_tasks import background_tasks
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_inference.streaming.buffer_poller import TurnBufferPoller
from parley_inference.streaming.buffer_writer import TurnBufferWriter


class TurnBuffering:
    """The two directions of one process; `failed` counts the times that Redis did not do it."""

    def __init__(
        self, buffers: TurnBuffers, flusher: TurnBufferWriter, poller: TurnBufferPoller
    ) -> None:
        self._buffers, self._flusher, self._poller = buffers, flusher, poller
        self.begin, self.erase = flusher.begin, flusher.erase
        self.follow, self.leave = poller.follow, poller.leave

    @property
    def failed(self) -> int:
        return self._buffers.failures

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """At the end of the block, when no turn runs any more, what there is is written."""
        try:
            async with background_tasks(self._flusher.run(), self._poller.run()):
                yield
            await self._flusher.finish()
        finally:
            await self._buffers.aclose()
