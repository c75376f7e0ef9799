"""Client-side state of one model server: concurrency limit, circuit breaker and failure counts."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.model_catalogue import ServerLimits
from parley_inference.models.server_circuit import Person, ServerCircuit

log = logging.getLogger(__name__)

_SERVER_FAULTS: frozenset[FailureCode] = frozenset(
    ("upstream_unavailable", "upstream_timeout", "upstream_garbage", "upstream_broken")
)
# The server is up: it answered, though not with a reply.
_RESPONSES: frozenset[FailureCode] = frozenset(
    (
        "upstream_refused",
        "upstream_unauthorized",
        "upstream_model_not_found",
        "upstream_not_found",
        "upstream_quota_exceeded",
        "upstream_rate_limited",
        "upstream_filtered",
        "context_length_exceeded",
    )
)


class ModelServer:
    """Calls `on_first_text` with the seconds from each request to the first text of its reply.

    `requests`, `retries` and `failures` count from the start of the process.
    """

    def __init__(self, base_url: str, limits: ServerLimits, circuit: ServerCircuit) -> None:
        self.name, self.limits = base_url.partition("?")[0], limits
        self.requests = self.requests_in_flight = self.retries = 0
        self.on_first_text: Callable[[float], None] = lambda _: None
        self.failures: Counter[FailureCode] = Counter()
        self.circuit = circuit
        self._slots = asyncio.Semaphore(limits.max_concurrency)

    @asynccontextmanager
    async def request(self, person: Person) -> AsyncIterator[None]:
        """Hold a slot during a request for a person; report its outcome to the circuit breaker.

        Raises UpstreamError when no slot becomes free in time or the circuit is open.
        """
        if not self.circuit.allow(person, time.monotonic()):
            raise self._circuit_open(person)
        try:
            async with self._slot():
                if self.circuit.state == "open":  # Opened during the wait for the slot.
                    raise self._circuit_open(person)
                yield
        except UpstreamError as error:
            self._record_failure(person, error.code)
            raise
        except BaseException:
            self.circuit.on_inconclusive(person)
            raise
        self.circuit.on_success(person)

    def count_retry(self) -> None:
        self.retries += 1

    def record_first_text(self, person: Person, seconds: float) -> None:
        """Record the first text of a reply, `seconds` after its request: the server works."""
        self.circuit.on_success(person)
        self.on_first_text(seconds)

    def _circuit_open(self, person: Person) -> UpstreamError:
        return UpstreamError(
            "upstream_unavailable",
            retry_after=self.circuit.open_seconds_left(person, time.monotonic()),
            was_asked=False,
            cause="circuit open",
        )

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise UpstreamError("upstream_busy", was_asked=False) from None
        self.requests += 1
        self.requests_in_flight += 1
        try:
            yield
        finally:
            self.requests_in_flight -= 1
            self._slots.release()

    def _record_failure(self, person: Person, code: FailureCode) -> None:
        self.failures[code] += 1
        if code in _SERVER_FAULTS:
            was_open = self.circuit.state == "open"
            self.circuit.on_failure(person, time.monotonic())
            if self.circuit.state == "open" and not was_open:
                log.warning("circuit opened for model server %s: %s", self.name, code)
        elif code in _RESPONSES:
            self.circuit.on_success(person)
        else:
            self.circuit.on_inconclusive(person)
