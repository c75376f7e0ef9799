"""What inference tells of its turns: how many it runs, follows and streams, and its buffers."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Number = Callable[[], int]


def watch_turns(
    registry: CollectorRegistry,
    *,
    running: Number,
    followed: Number,
    streams: Number,
    buffer_failures: Number,
) -> None:
    """Each is asked for its number at each scrape."""
    gauges = {
        ("parley_inference_turns", "Turns that this process runs."): running,
        ("parley_inference_followed", "Turns of other processes that are read here."): followed,
        ("parley_inference_streams", "Answers that carry a turn's events now."): streams,
    }
    registry.register(_Numbers(gauges, buffer_failures))


class _Numbers(Collector):
    def __init__(self, gauges: Mapping[tuple[str, str], Number], failures: Number) -> None:
        self._gauges, self._failures = gauges, failures

    def collect(self) -> Iterable[Metric]:
        for (name, what), number in self._gauges.items():
            yield GaugeMetricFamily(name, what, value=number())
        yield CounterMetricFamily(
            "parley_inference_buffer_failures",
            "Times that Redis did not keep or give the buffers of turns.",
            value=self._failures(),
        )
