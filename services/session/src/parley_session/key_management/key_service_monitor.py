"""Measurements of the calls of key services."""

from typing import Literal

from parley_core.process.durations import Durations
from parley_core.process.process_monitor import ProcessMonitor

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

Operation = Literal["wrap", "unwrap"]


class KeyServiceMonitor:
    """Measures the calls of all key services of a process, and reports whether they answer."""

    def __init__(self, monitor: ProcessMonitor | None = None) -> None:
        self._monitor = monitor
        self._durations = Durations(
            "parley_session_key_service_call_duration_seconds",
            "Duration of calls to the key services of master keys.",
            ["adapter", "operation", "outcome"],
            _BUCKETS,
        )
        if monitor is not None:
            monitor.registry.register(self._durations)

    def observe(self, adapter: str, operation: Operation, seconds: float, *, ok: bool) -> None:
        self._durations.observe((adapter, operation, "ok" if ok else "unavailable"), seconds)
        if self._monitor is not None:
            self._monitor.dependencies[adapter].report(ok)
