"""Metrics of requests and calls that every process has: rate, errors and duration.

Labels are bounded: route templates of the code, and never a path, a person or a session.
"""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

from parley_core.process.durations import Durations

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# The last ones are for replies, which are streamed for seconds to minutes.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10)

CallOutcome = Literal["ok", "error", "unavailable"]


class RequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Durations(
            "http_server_request_duration_seconds",
            "Duration of requests until the end of the response.",
            ["method", "route", "status_class"],
            buckets=_REQUEST_BUCKETS,
        )
        registry.register(self._durations)
        self._errors = Counter(
            "parley_http_errors",
            "Error responses by the code in their body.",
            ["route", "code"],
            registry=registry,
        )
        self._calls = Histogram(
            "parley_service_call_duration_seconds",
            "Duration of calls to another service; of streams, until the response begins.",
            ["callee", "outcome"],
            buckets=_CALL_BUCKETS,
            registry=registry,
        )

    def observe_request(
        self, method: str, route: str, status: int, code: str | None, seconds: float
    ) -> None:
        method = method if method in _METHODS else "other"
        self._durations.observe((method, route, f"{status // 100}xx"), seconds)
        if code is not None:
            self._errors.labels(route, code).inc()

    def observe_call(self, callee: str, outcome: CallOutcome, seconds: float) -> None:
        self._calls.labels(callee, outcome).observe(seconds)
