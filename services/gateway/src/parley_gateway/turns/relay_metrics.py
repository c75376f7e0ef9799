"""What the relays of turn events measure."""

from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from parley_core.runtime.request_context import request_seconds


@dataclass(frozen=True, slots=True)
class RelayMetrics:
    first_delta: Histogram
    added_latency: Histogram
    reattaches: Counter
    resumes: Counter


class TurnLatency:
    """Latencies of the request that opened a turn, each observed once."""

    def __init__(self, metrics: RelayMetrics) -> None:
        self._metrics = metrics
        self._is_accepted = self._has_text = False

    def accepted(self) -> None:
        """Inference runs the turn from now on."""
        if not self._is_accepted:
            self._is_accepted = True
            self._metrics.added_latency.observe(request_seconds() or 0)

    def received_text(self) -> None:
        if not self._has_text:
            self._has_text = True
            self._metrics.first_delta.observe(request_seconds() or 0)
