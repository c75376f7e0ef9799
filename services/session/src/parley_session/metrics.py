"""What session tells of itself: its outboxes, their relays, its appends."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_core.storage.postgres_pool import Pool
from parley_session.api.errors import STORE_TROUBLE
from parley_session.relay.outbox import depth_and_age
from parley_session.relay.relay import Relay

_TROUBLE: tuple[type[Exception], ...] = (*STORE_TROUBLE, asyncpg.PostgresError)
Outboxes = dict[str, tuple[int, float]]
"""Depth and age of each, by what its events are of."""

_APPEND_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics(Collector):
    """The outboxes are asked for at each scrape; while the store is away theirs are left out.

    Every replica tells the same of the outboxes; of relays and appends each tells its own.
    """

    def __init__(
        self, registry: CollectorRegistry, relays: Sequence[Relay], pool: Pool, seconds: float
    ) -> None:
        self._relays, self._pool, self._seconds = relays, pool, seconds
        self._outboxes: Outboxes = {}
        self._asking: asyncio.Task[Outboxes] | None = None
        append_seconds = Histogram(
            "parley_append_seconds",
            "How long appends to the event store took, seconds.",
            buckets=_APPEND_BUCKETS,
            registry=registry,
        )
        self.observe_append = append_seconds.observe
        self._erased = Counter(
            "parley_session_erased",
            "Sessions that this process erased, by their reason.",
            ["reason"],
            registry=registry,
        )
        registry.register(self)

    def count_erased(self, reason: str) -> None:
        self._erased.labels(reason).inc()

    async def refresh(self) -> None:
        """Ask the store, and wait a bounded time for its answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        # Waited for, not cancelled: a connection whose statement is cancelled is waited for too.
        done, _ = await asyncio.wait([self._asking], timeout=self._seconds)
        self._outboxes = self._asking.result() if done else {}

    async def _ask(self) -> Outboxes:
        queues = [relay.queue for relay in self._relays]
        try:
            return {queue.of: await depth_and_age(self._pool, queue) for queue in queues}
        except _TROUBLE:
            return {}

    def collect(self) -> Iterator[Metric]:
        relays = {relay.queue.of: relay for relay in self._relays}
        yield _gauge(
            "parley_outbox_events",
            "Events that the log has not acknowledged; 1,000,000 is that many or more.",
            {stream: depth for stream, (depth, _) in self._outboxes.items()},
        )
        yield _gauge(
            "parley_outbox_oldest_seconds",
            "Age of the oldest of them; 0 when there is none.",
            {stream: oldest for stream, (_, oldest) in self._outboxes.items()},
        )
        yield _counter(
            "parley_relay_published",
            "Events that the log acknowledged.",
            {stream: relay.published for stream, relay in relays.items()},
        )
        yield _counter(
            "parley_relay_failures",
            "Times that the relay started anew after an error.",
            {stream: relay.failures for stream, relay in relays.items()},
        )
        yield _gauge(
            "parley_relay_leads",
            "1 where this process relays.",
            {stream: int(relay.is_leader) for stream, relay in relays.items()},
        )


def _gauge(name: str, what: str, by_stream: Mapping[str, float]) -> Metric:
    return _filled(GaugeMetricFamily(name, what, labels=["stream"]), by_stream)


def _counter(name: str, what: str, by_stream: Mapping[str, float]) -> Metric:
    return _filled(CounterMetricFamily(name, what, labels=["stream"]), by_stream)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, by_stream: Mapping[str, float]
) -> Metric:
    for stream, value in by_stream.items():
        family.add_metric([stream], value)
    return family
