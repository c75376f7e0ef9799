"""Prometheus metrics of the gateway: streams, latency, page cache, tokens."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parley_gateway.auth.token_verification import TokenVerification
from parley_gateway.history.page_cache_middleware import PageCacheMiddleware
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.turns.relay_metrics import RelayMetrics

_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class GatewayMetrics(Collector):
    """`relay` is for the turn event relays; the rest is read at each scrape."""

    def __init__(
        self,
        registry: CollectorRegistry,
        streams: StreamLimiter,
        pages: PageCacheMiddleware,
        verification: TokenVerification,
    ) -> None:
        self._streams, self._pages, self._verification = streams, pages, verification
        self.relay = RelayMetrics(
            first_delta=Histogram(
                "parley_gateway_time_to_first_delta_seconds",
                "Time from a request to the first text of its reply.",
                buckets=_LATENCY_BUCKETS,
                registry=registry,
            ),
            added_latency=Histogram(
                "parley_gateway_added_latency_seconds",
                "Time from a request until a process runs its turn, before it calls the model.",
                buckets=_LATENCY_BUCKETS,
                registry=registry,
            ),
            reattaches=Counter(
                "parley_gateway_reattaches",
                "Streams from inference that broke and were attached again.",
                registry=registry,
            ),
            resumes=Counter(
                "parley_gateway_stream_resumes",
                "Streams that a client resumed or opened again.",
                registry=registry,
            ),
        )
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        streams = GaugeMetricFamily(
            "parley_gateway_open_streams",
            "Requests that wait for a reply or an export, by kind.",
            labels=["kind"],
        )
        for kind, count in self._streams.open.items():
            streams.add_metric([kind], count)
        yield streams
        yield GaugeMetricFamily(
            "parley_gateway_stream_limit",
            "How many of them this process admits.",
            self._streams.max_streams,
        )
        lookups = CounterMetricFamily(
            "parley_gateway_page_cache_lookups",
            "Lookups of history pages in the page cache.",
            labels=["outcome"],
        )
        for outcome, count in self._pages.lookups.items():
            lookups.add_metric([outcome], count)
        yield lookups
        yield GaugeMetricFamily(
            "parley_gateway_page_cache_bytes", "Memory of cached pages.", self._pages.cache.bytes
        )
        ages = GaugeMetricFamily(
            "parley_gateway_key_set_age_seconds",
            "Time since the keys of a token issuer were last fetched.",
            labels=["issuer"],
        )
        for issuer, age in self._verification.key_ages_seconds.items():
            ages.add_metric([issuer], age)
        yield ages
