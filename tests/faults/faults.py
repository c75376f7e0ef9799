"""What happens to a stack while people chat, each thing as often as it is asked for."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError
from stack.conversations import Crowd
from stack.parley import Stack

# Past the 6 s after which Kafka gives a projector's partitions to another, and past the 7 s after
# which Postgres ends the transaction in which a relay leads (with a publish limit of 2 s); under
# the 10 s after which a turn that nobody names is ended.
ZOMBIE_SECONDS = 8

# Everybody goes on for a while after each fault, so that the next one meets a stack at work.
TURNS_BETWEEN = 40


class Faults:
    def __init__(self, stack: Stack, crowd: Crowd) -> None:
        self.done = Counter[str]()
        self._stack, self._crowd = stack, crowd

    async def all(self) -> None:
        for round_number in range(5):
            replica = "" if round_number % 2 else "-2"
            await self._then_go_on("broker killed", self._killed("kafka"))
            await self._then_go_on("projector killed", self._killed(f"history-project{replica}"))
            await self._then_go_on("relay killed", self._killed(f"session{replica}"))
            await self._then_go_on("projector stopped", self._zombie(f"history-project{replica}"))
            await self._then_go_on("relay stopped", self._zombie(f"session{replica}"))
            if round_number in (1, 3):
                number = signal.SIGKILL if round_number == 1 else signal.SIGINT
                restart = self._killed("postgres", number)
                await self._then_go_on("Postgres restarted", restart)

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Redis is emptied several times a second meanwhile."""
        flushing = asyncio.create_task(self._flush(self._stack.address("redis")))
        try:
            yield
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)

    async def _flush(self, address: str) -> None:
        async with Redis.from_url(f"redis://{address}/0") as redis:
            while True:
                try:
                    await redis.flushall()
                    self.done["Redis flushed"] += 1
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(0.2)

    async def _then_go_on(self, name: str, fault: Callable[[], Awaitable[None]]) -> None:
        await fault()
        self.done[name] += 1
        await self._crowd.until_more(TURNS_BETWEEN)

    def _killed(
        self, name: str, number: signal.Signals = signal.SIGKILL
    ) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            before = self._stack.pid(name)
            self._stack.kill(name, number)
            await self._stack.until_replaced(name, before)

        return kill

    def _zombie(self, name: str) -> Callable[[], Awaitable[None]]:
        async def stop_and_continue() -> None:
            async with self._stack.stopped(name):
                await asyncio.sleep(ZOMBIE_SECONDS)

        return stop_and_continue


def table(rows: Sequence[tuple[str, object]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
