"""What inference tells of its model servers: how they do, and how soon they begin to answer."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from parley_inference.models.circuit_breaker import State
from parley_inference.models.model_server import ModelServer

_STATES: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def watch_model_servers(
    registry: CollectorRegistry,
    servers: Sequence[ModelServer],
    *,
    completions: Callable[[], int],
    lost_records: Callable[[], int],
) -> None:
    """Each number is looked up at each scrape."""
    first_token = Histogram(
        "parley_inference_first_token_seconds",
        "From a request to a model server to the first text of its answer.",
        ["server"],
        buckets=_BUCKETS,
        registry=registry,
    )
    for server in servers:
        server.on_first_text = first_token.labels(server.name).observe
    registry.register(_Upstream(servers, completions, lost_records))


class _Upstream(Collector):
    def __init__(
        self,
        servers: Sequence[ModelServer],
        completions: Callable[[], int],
        lost_records: Callable[[], int],
    ) -> None:
        self._servers, self._completions, self._lost = servers, completions, lost_records

    def collect(self) -> Iterable[Metric]:
        requests = GaugeMetricFamily(
            "parley_inference_upstream_requests",
            "Requests that a model server has now.",
            labels=["server"],
        )
        circuit = GaugeMetricFamily(
            "parley_inference_upstream_circuit",
            "Whether a model server is asked: 0 it is, 1 one request tries it, 2 it is not.",
            labels=["server"],
        )
        failures = CounterMetricFamily(
            "parley_inference_upstream_failures",
            "Requests that a model server did not answer, by the code of the failure.",
            labels=["server", "code"],
        )
        for server in self._servers:
            requests.add_metric([server.name], server.running)
            circuit.add_metric([server.name], _STATES[server.circuit.state])
            for code, count in server.failures.items():
                failures.add_metric([server.name, code], count)
        yield from (requests, circuit, failures)
        yield GaugeMetricFamily(
            "parley_inference_completions",
            "Completions without a conversation that run now.",
            value=self._completions(),
        )
        yield CounterMetricFamily(
            "parley_inference_lost_records",
            "Completions whose usage session was not told.",
            value=self._lost(),
        )
