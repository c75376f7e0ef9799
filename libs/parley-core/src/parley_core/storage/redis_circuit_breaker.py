"""Redis as something that may be away: calls are bounded, and an error is followed by a rest."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_TROUBLE = (RedisError, OSError, TimeoutError)


class RedisWithCircuitBreaker:
    """Each call takes `seconds` at most; after an error none is made for `pause_seconds`.

    A connection that broke is made again once, so that commands may be done twice. `failed` counts
    the errors; one of a row is logged, by its class: its sentence may quote data.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        pause_seconds: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = _client(url, seconds, connections)
        self._seconds, self._pause_seconds, self._clock = seconds, pause_seconds, clock
        self._rests_until = float("-inf")
        self._away = False
        self.failed = 0

    @property
    def rests(self) -> bool:
        return self._clock() < self._rests_until

    async def call(self, commands: Callable[[Redis], Awaitable[Answer]]) -> Answer | None:
        """What they answer; None when Redis does not, or rests."""
        if self.rests:
            return None
        cancellation = _Cancellation()
        try:
            async with asyncio.timeout(self._seconds):
                answer = await commands(self._redis)
        except _TROUBLE as trouble:
            cancellation.go_on()
            self.rest(trouble)
            return None
        cancellation.go_on()
        self._away = False
        return answer

    def rest(self, trouble: Exception) -> None:
        """Also for an error that came as the answer to one of several commands."""
        self.failed += 1
        if not self._away:
            log.warning("Redis is not used for now: %s", type(trouble).__name__)
        self._away, self._rests_until = True, self._clock() + self._pause_seconds

    async def aclose(self) -> None:
        with suppress(*_TROUBLE):
            await self._redis.aclose()


class _Cancellation:
    """The client may take a cancellation for a timeout of its own, and go on."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def go_on(self) -> None:
        """Where the task was cancelled since, it stays so."""
        if self._task and self._task.cancelling() > self._before:
            raise asyncio.CancelledError


def _client(url: str, seconds: float, connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        # What lies between drops a quiet connection, and says so when it is used.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),
        # What every Redis and Valkey understands, and nothing asked beside.
        protocol=2,
        driver_info=None,
    )
    return Redis.from_pool(pool)
