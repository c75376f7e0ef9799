"""Metrics of request limits."""

from prometheus_client import CollectorRegistry, Counter

from parley_core.limits.rules import REQUEST_LIMITS


class LimitMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.degraded = Counter(
            "parley_gateway_rate_limit_degraded",
            "Requests admitted, and streams admitted or refused, by this process's share of a "
            "limit, because Redis did not count them.",
            registry=registry,
        )
        self.refused = Counter(
            "parley_gateway_rate_limit_refused",
            "Requests and streams refused beyond a limit, by limit.",
            ["limit"],
            registry=registry,
        )
        for name in sorted(REQUEST_LIMITS):
            self.refused.labels(name)
