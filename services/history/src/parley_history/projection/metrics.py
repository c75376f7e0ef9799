"""What the projector's process tells in numbers: its own counts, and what its watchdog saw last.

What nobody knows at the moment is left out, so that a scrape never waits and never fails.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_core.runtime.metrics import new_registry
from parley_history.projection.projector import Projector
from parley_history.projection.watchdog import Watchdog


def projector_registry(projector: Projector, watchdog: Watchdog) -> CollectorRegistry:
    registry = new_registry()
    registry.register(_Numbers(projector, watchdog))
    return registry


class _Numbers(Collector):
    def __init__(self, projector: Projector, watchdog: Watchdog) -> None:
        self._projector, self._watchdog = projector, watchdog

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "parley_projector_events",
            "Events that this process projected, repeats among them.",
            self._projector.events_projected,
        )
        yield CounterMetricFamily(
            "parley_parked", "Sessions that this process parked.", self._projector.sessions_parked
        )
        yield GaugeMetricFamily(
            "parley_projector_partitions",
            "Partitions that this process holds.",
            len(self._projector.partitions),
        )
        lag = GaugeMetricFamily(
            "parley_projector_lag_events",
            "Events of the log that are not projected yet, by whatever process.",
            labels=["partition"],
        )
        for partition, events in self._watchdog.lag.items():
            lag.add_metric([str(partition)], events)
        yield lag
        yield from self._of_the_read_model()

    def _of_the_read_model(self) -> Iterable[Metric]:
        if (numbers := self._watchdog.numbers) is None:
            return
        for name, what, number in (
            ("dead_letters", "Records that were not applied.", numbers.dead_letters),
            ("parked_sessions", "Sessions that have dead letters.", numbers.parked_sessions),
            ("held_events", "Events that wait for one before them.", numbers.held_events),
        ):
            yield GaugeMetricFamily(f"parley_{name}", what, number)
