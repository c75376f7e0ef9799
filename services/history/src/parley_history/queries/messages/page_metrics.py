"""What the pages in Redis do, in numbers."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_history.queries.messages.redis_page_cache import RedisPageCache


def watch_pages(registry: CollectorRegistry, pages: RedisPageCache) -> None:
    registry.register(_Numbers(pages))


class _Numbers(Collector):
    def __init__(self, pages: RedisPageCache) -> None:
        self._pages = pages

    def collect(self) -> Iterable[Metric]:
        asked = CounterMetricFamily(
            "parley_history_redis", "What came of asking Redis.", labels=["outcome"]
        )
        asked.add_metric(["found"], self._pages.found)
        asked.add_metric(["missed"], self._pages.missed)
        asked.add_metric(["failed"], self._pages.failed)
        yield asked
