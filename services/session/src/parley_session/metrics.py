"""What session tells of itself: its outbox, its relay, its appends."""

import asyncio
from collections.abc import Iterator

import asyncpg
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_core.pool import Pool
from parley_session.outbox import depth_and_age
from parley_session.refusing import STORE_TROUBLE
from parley_session.relay import Relay

_TROUBLE: tuple[type[Exception], ...] = (*STORE_TROUBLE, asyncpg.PostgresError)
_APPEND_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics(Collector):
    """The outbox is asked for at each scrape; while the store is away its two gauges are left out.

    Every replica tells the same of the outbox; of relay and appends each tells its own.
    """

    def __init__(
        self, registry: CollectorRegistry, relay: Relay, pool: Pool, seconds: float
    ) -> None:
        self._relay, self._pool, self._seconds = relay, pool, seconds
        self._outbox: tuple[int, float] | None = None
        self._asking: asyncio.Task[tuple[int, float] | None] | None = None
        append_seconds = Histogram(
            "parley_append_seconds",
            "How long appends to the event store took, seconds.",
            buckets=_APPEND_BUCKETS,
            registry=registry,
        )
        self.observe_append = append_seconds.observe
        registry.register(self)

    async def refresh(self) -> None:
        """Ask the store, and wait a bounded time for its answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        # Waited for, not cancelled: a connection whose statement is cancelled is waited for too.
        done, _ = await asyncio.wait([self._asking], timeout=self._seconds)
        self._outbox = self._asking.result() if done else None

    async def _ask(self) -> tuple[int, float] | None:
        try:
            return await depth_and_age(self._pool)
        except _TROUBLE:
            return None

    def collect(self) -> Iterator[Metric]:
        if self._outbox is not None:
            depth, oldest_seconds = self._outbox
            yield GaugeMetricFamily(
                "parley_outbox_events",
                "Events that the log has not acknowledged; 1,000,000 is that many or more.",
                depth,
            )
            yield GaugeMetricFamily(
                "parley_outbox_oldest_seconds",
                "Age of the oldest of them; 0 when there is none.",
                oldest_seconds,
            )
        yield CounterMetricFamily(
            "parley_relay_published", "Events that the log acknowledged.", self._relay.published
        )
        yield CounterMetricFamily(
            "parley_relay_failures",
            "Times that the relay started anew after an error.",
            self._relay.failures,
        )
        yield GaugeMetricFamily(
            "parley_relay_leads", "1 where this process relays.", int(self._relay.leads)
        )
