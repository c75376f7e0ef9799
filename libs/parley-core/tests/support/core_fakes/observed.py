"""Installs the request observer in an application."""

from starlette.applications import Starlette

from parley_core.http.request_observer import RequestObserver
from parley_core.process.process_monitor import ProcessMonitor


def observe(app: Starlette) -> ProcessMonitor:
    monitor = ProcessMonitor("test")
    app.add_middleware(
        RequestObserver,
        metrics=monitor.requests,
        pseudonym_of=lambda _: "p-1",
        quiet_routes=frozenset(("/quiet",)),
    )
    return monitor
