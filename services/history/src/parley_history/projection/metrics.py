"""Prometheus metrics of the projector process: its own counters and the last watchdog check.

Metrics whose source is unavailable are omitted, so a scrape never waits and never fails.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_history.projection.projector import Projector
from parley_history.projection.watchdog import Watchdog

_DELAY_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class ProjectionDelays:
    def __init__(
        self,
        registry: CollectorRegistry,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._delays = Histogram(
            "parley_history_projection_delay_seconds",
            "Time from an event to its projection, repeats included.",
            buckets=_DELAY_BUCKETS,
            registry=registry,
        )

    def observe(self, times: Iterable[datetime]) -> None:
        now = self._clock()
        for time in times:
            self._delays.observe(max(0.0, (now - time).total_seconds()))


def register_projector_metrics(
    registry: CollectorRegistry, projector: Projector, watchdog: Watchdog
) -> None:
    registry.register(_ProjectorCollector(projector, watchdog))


class _ProjectorCollector(Collector):
    """A collector, because a gauge of `prometheus_client` cannot be absent."""

    def __init__(self, projector: Projector, watchdog: Watchdog) -> None:
        self._projector, self._watchdog = projector, watchdog

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "parley_history_projector_events",
            "Events projected by this process, repeats included.",
            self._projector.events_projected,
        )
        yield CounterMetricFamily(
            "parley_history_sessions_parked",
            "Sessions parked by this process.",
            self._projector.sessions_parked,
        )
        yield GaugeMetricFamily(
            "parley_history_projector_partitions",
            "Partitions assigned to this process.",
            len(self._projector.partitions),
        )
        oldest = self._projector.oldest_unprojected
        yield GaugeMetricFamily(
            "parley_history_projector_oldest_unprojected_age_seconds",
            "Age of the oldest event that this process has read and not projected; 0 without one.",
            0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds()),
        )
        yield from self._lag()
        yield from self._read_model_stats()

    def _lag(self) -> Iterable[Metric]:
        lag = GaugeMetricFamily(
            "parley_history_projector_lag_events",
            "Events of the log that are not projected yet, by the partition's owner.",
            labels=["partition"],
        )
        # Each partition is reported by its owner alone, so that sums over processes are correct.
        for partition in self._projector.partitions & self._watchdog.lag.keys():
            lag.add_metric([str(partition)], self._watchdog.lag[partition])
        yield lag

    def _read_model_stats(self) -> Iterable[Metric]:
        # One process reports what is the same for all: the owner of partition 0.
        if (stats := self._watchdog.stats) is None or 0 not in self._projector.partitions:
            return
        for name, description, value in (
            ("dead_letters", "Records that were not applied.", stats.dead_letters),
            ("parked_sessions", "Sessions with dead letters.", stats.parked_sessions),
            ("deferred_events", "Events that wait for a missing one.", stats.deferred_events),
        ):
            yield GaugeMetricFamily(f"parley_history_{name}", description, value)
