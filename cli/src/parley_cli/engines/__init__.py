"""PostgreSQL, Kafka and Redis as child processes on loopback, for a machine with only Python."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from parley_cli.engines.failure import EngineFailed
from parley_cli.engines.kafka import KafkaServer
from parley_cli.engines.ports import free_port
from parley_cli.engines.postgres import PostgresServer
from parley_cli.engines.redis import RedisServer

__all__ = ["EngineFailed", "Engines", "KafkaServer", "PostgresServer", "RedisServer", "free_port"]


class Engines:
    """The three engines of one data folder, started and stopped together."""

    def __init__(self, data: Path, cache: Path) -> None:
        self.postgres = PostgresServer(data, free_port())
        self.kafka = KafkaServer(data, cache, free_port(), free_port())
        self.redis = RedisServer(data, free_port())

    async def start(self, on_ready: Callable[[str, float], None]) -> None:
        """Start all three at once; `on_ready(name, seconds)` is called as each one answers."""

        async def timed(name: str, start: Callable[[], Awaitable[None]]) -> None:
            began = time.monotonic()
            await start()
            on_ready(name, time.monotonic() - began)

        try:
            outcomes = await asyncio.gather(
                timed("postgres", self.postgres.start),
                timed("kafka", self.kafka.start),
                timed("redis", self.redis.start),
                # All are awaited: none may still be starting while the others are stopped.
                return_exceptions=True,
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        await asyncio.gather(self.postgres.stop(), self.kafka.stop(), self.redis.stop())
