"""Redis client with timeouts and a circuit breaker."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from parley_core.runtime.circuit_breaker import CircuitBreaker

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_ERRORS = (RedisError, OSError, TimeoutError)


class RedisWithCircuitBreaker:
    """Each call takes at most `timeout_seconds`; an error opens the circuit for `open_seconds`.

    A broken connection is retried once, so commands may run twice. `on_result` is told whether each
    call succeeded. `failures` counts the errors; only the first of consecutive ones is logged, by
    its class: its message may quote data. `url` may be a function that returns the present one:
    after a change, calls use connections to the new one, and those to the old one are closed when
    their calls have ended. Files with certificates, which a URL may name, are read again after a
    connection failed.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        timeout_seconds: float,
        open_seconds: float,
        max_connections: int,
        on_result: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url_of: Callable[[], str] = url if callable(url) else lambda: url
        self._timeout_seconds, self._max_connections = timeout_seconds, max_connections
        self._client = self._new_client()
        self._clock = clock
        self._circuit = CircuitBreaker(1, open_seconds)
        self._failing = False
        self._on_result = on_result
        self.failures = 0

    @property
    def is_open(self) -> bool:
        """Whether calls are skipped for now."""
        return self._circuit.is_open(self._clock())

    async def call(self, commands: Callable[[Redis], Awaitable[Result]]) -> Result | None:
        """Return the result of the commands; None while the circuit is open and after an error."""
        if self.is_open:
            return None
        # After the open time every call is tried, not only the first: one that were skipped could
        # be the one that recovers the text of an interrupted reply.
        self._circuit.allow(self._clock())
        try:
            return await self._run(commands)
        except _ERRORS as error:
            self.trip(error)
            return None
        except BaseException:
            self._circuit.on_inconclusive()
            raise

    def trip(self, error: Exception) -> None:
        """Open the circuit; called directly when one of several commands replied with an error."""
        self.failures += 1
        if not self._failing:
            log.warning("circuit opened for Redis: %s", type(error).__name__)
        self._failing = True
        self._on_result(False)
        self._circuit.on_failure(self._clock())

    async def _run(self, commands: Callable[[Redis], Awaitable[Result]]) -> Result:
        cancellation = _PendingCancellation()
        client = await self._current_client()
        client.calls += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                result = await commands(client.redis)
        except RedisConnectionError:
            # Its connections would present and trust the certificates that they have read before.
            client.is_broken = True
            raise
        finally:
            client.calls -= 1
            if client is not self._client and not client.calls:
                await client.close()
            cancellation.raise_if_requested()
        self._circuit.on_success()
        self._failing = False
        self._on_result(True)
        return result

    async def aclose(self) -> None:
        await self._client.close()

    async def _current_client(self) -> "_Client":
        previous = self._client
        if previous.is_broken or previous.url != self._url_of():
            self._client = self._new_client()
            if not previous.calls:
                await previous.close()
        return self._client

    def _new_client(self) -> "_Client":
        url = self._url_of()
        return _Client(url, _connect(url, self._timeout_seconds, self._max_connections))


@dataclass(slots=True)
class _Client:
    """The connections to one URL, and the number of calls that use them."""

    url: str
    redis: Redis
    calls: int = 0
    is_broken: bool = False

    async def close(self) -> None:
        with suppress(*_ERRORS):
            await self.redis.aclose()


class _PendingCancellation:
    """Restores a cancellation of the current task that redis-py mistakes for its own timeout."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def raise_if_requested(self) -> None:
        if self._task and self._task.cancelling() > self._before:
            raise asyncio.CancelledError


def _connect(url: str, timeout_seconds: float, max_connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        # Firewalls and proxies drop idle connections, which the next command finds closed.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        # RESP2 and no CLIENT SETINFO: understood by every Redis and Valkey, no extra round trip.
        protocol=2,
        driver_info=None,
    )
    return Redis.from_pool(pool)
