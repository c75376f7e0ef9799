"""Prometheus metrics of session: outboxes, relays, appends and erased sessions."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_session.relay.outbox_monitor import OutboxMonitor
from parley_session.relay.outbox_sql import MAX_COUNTED_EVENTS
from parley_session.relay.relay import Relay

_APPEND_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics(Collector):
    """Relay and append metrics are per process; one process at a time reports the outboxes."""

    def __init__(
        self, registry: CollectorRegistry, relays: Sequence[Relay], outbox_monitor: OutboxMonitor
    ) -> None:
        self._relays, self._outbox_monitor = relays, outbox_monitor
        append_duration = Histogram(
            "parley_session_append_duration_seconds",
            "Duration of appends to the event store.",
            buckets=_APPEND_BUCKETS,
            registry=registry,
        )
        self.observe_append = append_duration.observe
        self._sessions_erased = Counter(
            "parley_session_sessions_erased",
            "Sessions erased by this process.",
            ["reason"],
            registry=registry,
        )
        turns_swept = Counter(
            "parley_session_turns_swept",
            "Turns that this process ended as interrupted, because their runner was lost.",
            registry=registry,
        )
        self.count_swept = turns_swept.inc
        registry.register(self)

    def count_erased(self, reason: str) -> None:
        self._sessions_erased.labels(reason).inc()

    def collect(self) -> Iterator[Metric]:
        relays = {relay.table.stream: relay for relay in self._relays}
        sizes = self._outbox_monitor.sizes
        yield _gauge(
            "parley_session_outbox_pending_events",
            f"Events not yet acknowledged by the log, counted up to {MAX_COUNTED_EVENTS}.",
            {stream: size.pending_events for stream, size in sizes.items()},
        )
        yield _gauge(
            "parley_session_outbox_oldest_age_seconds",
            "Age of the oldest pending event; 0 if none is pending.",
            {stream: size.oldest_age_seconds for stream, size in sizes.items()},
        )
        yield _counter(
            "parley_session_relay_published_events",
            "Events published by this process and acknowledged by the log.",
            {stream: relay.published for stream, relay in relays.items()},
        )
        yield _counter(
            "parley_session_relay_failures",
            "Errors after which the relay of this process started over.",
            {stream: relay.failures for stream, relay in relays.items()},
        )
        yield _gauge(
            "parley_session_relay_is_leader",
            "1 if this process relays the outbox, else 0.",
            {stream: int(relay.is_leader) for stream, relay in relays.items()},
        )


def _gauge(name: str, documentation: str, by_stream: Mapping[str, float]) -> Metric:
    return _filled(GaugeMetricFamily(name, documentation, labels=["stream"]), by_stream)


def _counter(name: str, documentation: str, by_stream: Mapping[str, float]) -> Metric:
    return _filled(CounterMetricFamily(name, documentation, labels=["stream"]), by_stream)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, by_stream: Mapping[str, float]
) -> Metric:
    for stream, value in by_stream.items():
        family.add_metric([stream], value)
    return family
