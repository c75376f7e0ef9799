"""HTTP calls to a key service: each bounded in time, behind a circuit breaker, and measured."""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from parley_core.runtime.circuit_breaker import CircuitBreaker
from parley_core.tracing.spans import span
from parley_session.key_management.key_service_monitor import KeyServiceMonitor, Operation
from parley_session.key_management.key_wrapper import KeyServiceUnavailable

TIMEOUT_SECONDS = 2.0
"""Of one call with its connection; people wait for it, and a key service answers in milliseconds.

Short, because a request that waits behind two calls without an answer waits for both.
"""

CIRCUIT_FAILURES = 2
CIRCUIT_OPEN_SECONDS = 5.0

_MAX_CONNECTIONS = 16
# Shorter than the time after which servers and load balancers close idle connections.
_KEEP_ALIVE_SECONDS = 15
# A hundred wrapped keys take 20 KB.
_MAX_ANSWER_BYTES = 256 * 1024
_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    status: int
    body: bytes


class KeyServiceError(Exception):
    """The service refused the request, or its answer is malformed; the message is logged."""


class KeyServiceClient:
    """Calls the service of the master key `key_id` through the adapter of that name."""

    def __init__(
        self,
        key_id: str,
        adapter: str,
        monitor: KeyServiceMonitor,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key_id, self._adapter, self._monitor = key_id, adapter, monitor
        self._tls, self._clock = tls, clock
        self._circuit = CircuitBreaker(CIRCUIT_FAILURES, CIRCUIT_OPEN_SECONDS)
        self._http: aiohttp.ClientSession | None = None

    async def call(
        self, operation: Operation, ask: Callable[[], Awaitable[list[bytes | None]]]
    ) -> list[bytes | None]:
        """Return what `ask` returns, which calls `post` and raises KeyServiceError.

        Raises KeyServiceUnavailable, at once while the circuit is open.
        """
        if not self._circuit.allow(self._clock()):
            raise self._unavailable()
        started = self._clock()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                with span(f"{operation} {self._adapter}", "client"):
                    answer = await ask()
        except (KeyServiceError, *_ERRORS) as error:
            self._fail(error)
            self._monitor.observe(self._adapter, operation, self._clock() - started, ok=False)
            raise self._unavailable() from None
        except BaseException:
            self._circuit.on_inconclusive()
            raise
        self._circuit.on_success()
        self._monitor.observe(self._adapter, operation, self._clock() - started, ok=True)
        return answer

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ServiceAnswer:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_MAX_CONNECTIONS,
                    keepalive_timeout=_KEEP_ALIVE_SECONDS,
                    ssl=self._tls or True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            return await self._post(self._http, url, body, headers)
        except aiohttp.ServerDisconnectedError:
            # A connection that was idle; wrapping or unwrapping again changes nothing.
            return await self._post(self._http, url, body, headers)

    async def _post(
        self, http: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
    ) -> ServiceAnswer:
        async with http.post(url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > _MAX_ANSWER_BYTES:
                    raise KeyServiceError(f"HTTP {response.status} with a body that is too long")
            return ServiceAnswer(response.status, bytes(answer))

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _fail(self, error: Exception) -> None:
        if self._circuit.failures == 0:
            # Of consecutive ones, only the first.
            reason = str(error) if isinstance(error, KeyServiceError) else type(error).__name__
            log.warning("the key service of master key %s failed: %s", self._key_id, reason)
        self._circuit.on_failure(self._clock())

    def _unavailable(self) -> KeyServiceUnavailable:
        left = self._circuit.open_seconds_left(self._clock())
        return KeyServiceUnavailable(self._key_id, max(1, math.ceil(left)))
