"""Process monitor: the state, metrics and dependencies of one process, for its operators.

Metrics: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from parley_core.process.dependencies import Dependencies
from parley_core.process.event_loop_monitor import EventLoopMonitor
from parley_core.process.process_state import ProcessState
from parley_core.process.request_metrics import RequestMetrics

# They would double the number of series, and nothing uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]


class ProcessMonitor(Collector):
    """Composed once per process; its collectors are read in the event loop.

    `details` are further fields of `/status`.
    """

    def __init__(self, service: str) -> None:
        self.service, self.version, self.revision = service, version("parley-core"), _revision()
        self.state, self.dependencies = ProcessState(), Dependencies()
        self.details: dict[str, Callable[[], Mapping[str, Any]]] = {}
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = RequestMetrics(self.registry)
        self.event_loop = EventLoopMonitor(self.registry, self.state)
        self.registry.register(self)

    def metrics(self) -> bytes:
        return generate_latest(self.registry)

    def status(self) -> Mapping[str, Any]:
        return {
            "service": self.service,
            "version": self.version,
            "revision": self.revision,
            "status": self.state.phase,
            "missing": [*self.state.waiting_for],
            "dependencies": {each.name: each.to_json() for each in self.dependencies},
            **{name: read() for name, read in self.details.items()},
        }

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily(
            "parley_build_info", "The build; always 1.", labels=["version", "revision"]
        )
        build.add_metric([self.version, self.revision], 1)
        yield build
        yield GaugeMetricFamily(
            "parley_draining", "1 while the process shuts down, else 0.", int(self.state.draining)
        )
        up = GaugeMetricFamily(
            "parley_dependency_up",
            "1 if the last call to a service or engine was answered, else 0.",
            labels=["dependency"],
        )
        for each in self.dependencies:
            if each.up is not None:
                up.add_metric([each.name], int(each.up))
        yield up


def _revision() -> str:
    """The commit of the build, from the file that the build of an image writes; else empty."""
    file = files("parley_core") / "revision.txt"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""
