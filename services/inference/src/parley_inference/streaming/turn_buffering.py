"""Turn buffering: shares running streams between processes through Redis, in both directions."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from parley_core.runtime.background_tasks import background_loops
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisSettings
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_inference.streaming.buffer_poller import TurnBufferPoller
from parley_inference.streaming.buffer_writer import TurnBufferWriter

# Short, because one slow call delays the buffers of all turns, and losing them loses nothing.
REDIS_TIMEOUT_SECONDS = 0.25
REDIS_CIRCUIT_OPEN_SECONDS = 1.0
# One for the writer, one for the poller.
_REDIS_CONNECTIONS = 2


class TurnBuffering:
    """Writes this process's turns and follows those of others; `failures` counts Redis errors."""

    def __init__(
        self, buffers: TurnBuffers, writer: TurnBufferWriter, poller: TurnBufferPoller
    ) -> None:
        self._buffers, self._writer, self._poller = buffers, writer, poller
        self.begin, self.erase = writer.begin, writer.erase
        self.follow, self.unfollow = poller.follow, poller.unfollow

    @property
    def failures(self) -> int:
        return self._buffers.failures

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run writer and poller during the block; flush at its end, when no turn runs any more."""
        try:
            async with background_loops(self._writer.run, self._poller.run):
                yield
            await self._writer.finish()
        finally:
            await self._buffers.aclose()


def create_turn_buffering(
    settings: RedisSettings, on_result: Callable[[bool], None] = lambda _: None
) -> TurnBuffering:
    redis = RedisWithCircuitBreaker(
        lambda: settings.current_url,
        timeout_seconds=REDIS_TIMEOUT_SECONDS,
        open_seconds=REDIS_CIRCUIT_OPEN_SECONDS,
        max_connections=_REDIS_CONNECTIONS,
        on_result=on_result,
    )
    buffers = TurnBuffers(redis)
    return TurnBuffering(buffers, TurnBufferWriter(buffers), TurnBufferPoller(buffers))
