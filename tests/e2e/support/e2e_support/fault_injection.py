"""Fault injection into a stack under load."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from e2e_support.chat_load import ChatLoad
from e2e_support.stack import Stack

# Longer than the 6 s after which Kafka reassigns a projector's partitions, and than the 7 s after
# which Postgres aborts the leading relay's transaction (its publish timeout and 2 s); shorter than
# the 10 s lease of a turn.
ZOMBIE_SECONDS = 8

# The load continues for a while after each fault, so that the next one hits a working stack.
TURNS_BETWEEN = 40


class FaultInjector:
    def __init__(self, stack: Stack, load: ChatLoad) -> None:
        self.counts = Counter[str]()
        self._stack, self._crowd = stack, load

    async def inject_all(self) -> None:
        for round_number in range(5):
            replica = "" if round_number % 2 else "-2"
            await self._inject("broker killed", self._killed("kafka"))
            await self._inject("projector killed", self._killed(f"history-project{replica}"))
            await self._inject("relay killed", self._killed(f"session{replica}"))
            await self._inject("projector paused", self._zombie(f"history-project{replica}"))
            await self._inject("relay paused", self._zombie(f"session{replica}"))
            if round_number in (1, 3):
                number = signal.SIGKILL if round_number == 1 else signal.SIGINT
                restart = self._killed("postgres", number)
                await self._inject("Postgres restarted", restart)

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Flush Redis five times a second within the block."""
        # Not cancelled: the client may turn a cancellation into an error of its own.
        stopping = asyncio.Event()
        flushing = asyncio.create_task(self._flush(self._stack.redis_url, stopping))
        try:
            yield
        finally:
            stopping.set()
            await flushing

    async def _flush(self, url: str, stopping: asyncio.Event) -> None:
        async with Redis.from_url(url) as redis:
            while not stopping.is_set():
                try:
                    await redis.flushall()
                    self.counts["Redis flushed"] += 1
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(0.2)

    async def _inject(self, name: str, fault: Callable[[], Awaitable[None]]) -> None:
        await fault()
        self.counts[name] += 1
        await self._crowd.wait_for_turns(TURNS_BETWEEN)

    def _killed(
        self, name: str, number: signal.Signals = signal.SIGKILL
    ) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            before = self._stack.pid(name)
            self._stack.kill(name, number)
            await self._stack.wait_until_restarted(name, before)

        return kill

    def _zombie(self, name: str) -> Callable[[], Awaitable[None]]:
        async def pause() -> None:
            async with self._stack.paused(name):
                await asyncio.sleep(ZOMBIE_SECONDS)

        return pause


def table(rows: Sequence[tuple[str, object]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
