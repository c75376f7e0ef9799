"""One model server as this process uses it: so many requests at once, and none in vain."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from parley_inference.models.circuit_breaker import CircuitBreaker
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.model_catalogue import ServerLimits

log = logging.getLogger(__name__)

_ITS_FAULT: frozenset[FailureCode] = frozenset(
    ("upstream_unavailable", "upstream_timeout", "upstream_garbage", "upstream_broken")
)
# It did answer, though not with a reply.
_ALIVE: frozenset[FailureCode] = frozenset(("upstream_refused", "upstream_rate_limited"))


class ModelServer:
    """`on_first_text` is told the seconds from each request to the first text of its answer."""

    def __init__(self, base_url: str, limits: ServerLimits, circuit: CircuitBreaker) -> None:
        self.name = base_url.partition("?")[0]
        self.running = 0
        self.on_first_text: Callable[[float], None] = lambda _: None
        self.failures: Counter[FailureCode] = Counter()
        self.circuit = circuit
        self._wait_seconds = limits.wait
        self._room = asyncio.Semaphore(limits.at_once)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """For as long as a request runs; how the block ends tells how the server does.

        Raises UpstreamError where there is no room within the wait, or the circuit is open.
        """
        if not self.circuit.admits(time.monotonic()):
            raise UpstreamError("upstream_unavailable")
        try:
            async with self._entered():
                if self.circuit.state == "open":  # It opened while this one waited.
                    raise UpstreamError("upstream_unavailable")
                yield
        except UpstreamError as failed:
            self._judge(failed.code)
            raise
        except BaseException:
            self.circuit.undecided()
            raise
        self.circuit.succeeded()

    def began(self, seconds: float) -> None:
        """The first text of an answer came."""
        self.circuit.begun()
        self.on_first_text(seconds)

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise UpstreamError("upstream_busy") from None
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._room.release()

    def _judge(self, code: FailureCode) -> None:
        self.failures[code] += 1
        if code in _ITS_FAULT:
            was_open = self.circuit.state == "open"
            self.circuit.failed(time.monotonic())
            if self.circuit.state == "open" and not was_open:
                log.warning("model server %s: left alone for a while: %s", self.name, code)
        elif code in _ALIVE:
            self.circuit.succeeded()
        else:
            self.circuit.undecided()
