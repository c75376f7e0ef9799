"""What the indexer tells in numbers."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_history.queries.search.indexer import Indexer


def watch_indexer(registry: CollectorRegistry, indexer: Indexer) -> None:
    registry.register(_Numbers(indexer))


class _Numbers(Collector):
    def __init__(self, indexer: Indexer) -> None:
        self._indexer = indexer

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "parley_search_messages",
            "Messages whose words this process indexed.",
            self._indexer.messages,
        )
        yield GaugeMetricFamily(
            "parley_search_lag_seconds",
            "How long ago the session moved that waits for longest to be indexed.",
            self._indexer.lag_seconds,
        )
