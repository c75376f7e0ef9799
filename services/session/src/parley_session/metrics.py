"""Prometheus metrics of session: outboxes, relays, jobs, appends, keys and erasures."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_session.application.retention import Retention
from parley_session.key_management.keyring import Keyring
from parley_session.relay.outbox_sql import MAX_COUNTED_EVENTS
from parley_session.relay.relay import Relay
from parley_session.relay.store_monitor import StoreMonitor
from parley_session.storage.due_sessions import MAX_COUNTED_SESSIONS

_APPEND_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics(Collector):
    """Relay and append metrics are per process; one process at a time reports what is stored.

    `retention` is set when the job exists.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        relays: Sequence[Relay],
        store_monitor: StoreMonitor,
        keyring: Keyring,
    ) -> None:
        self._relays, self._store_monitor = relays, store_monitor
        self._keyring = keyring
        self.retention: Retention | None = None
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
        yield from self._stored()
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
        leads = {f"{stream}_relay": relay.is_leader for stream, relay in relays.items()}
        leads["retention"] = self.retention is not None and self.retention.is_leader
        leads["store_monitor"] = self._store_monitor.size is not None
        yield _gauge(
            "parley_session_leader",
            "1 if this process did the job at its last attempt, else 0.",
            "task",  # Prometheus has a label `job` of its own.
            {task: int(is_leader) for task, is_leader in leads.items()},
        )

        yield _gauge(
            "parley_session_master_key_active",
            "1 for the master key with which this process wraps new keys, 0 for its others.",
            "master_key",
            {each: int(each == self._keyring.active) for each in self._keyring.ids},
        )

    def _stored(self) -> Iterator[Metric]:
        if (size := self._store_monitor.size) is None:
            return
        yield _gauge(
            "parley_session_outbox_pending_events",
            f"Events not yet acknowledged by the log, counted up to {MAX_COUNTED_EVENTS}.",
            "stream",
            {stream: outbox.pending_events for stream, outbox in size.outboxes.items()},
        )
        yield _gauge(
            "parley_session_outbox_oldest_age_seconds",
            "Age of the oldest pending event; 0 if none is pending.",
            "stream",
            {stream: outbox.oldest_age_seconds for stream, outbox in size.outboxes.items()},
        )
        yield GaugeMetricFamily(
            "parley_session_erasures_due",
            "Deleted and temporary sessions whose time is over and that are not erased yet, "
            f"counted up to {MAX_COUNTED_SESSIONS}.",
            size.due_sessions,
        )
        if size.wrapped_keys is not None:
            yield _gauge(
                "parley_session_wrapped_keys",
                "Stored keys by the id of the master key that wraps them.",
                "master_key",
                size.wrapped_keys,
            )


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    return _filled(GaugeMetricFamily(name, documentation, labels=[label]), values)


def _counter(name: str, documentation: str, by_stream: Mapping[str, float]) -> Metric:
    return _filled(CounterMetricFamily(name, documentation, labels=["stream"]), by_stream)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
