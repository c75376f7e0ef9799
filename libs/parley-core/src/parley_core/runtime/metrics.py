"""What a process tells of itself in numbers: `GET /metrics`, in Prometheus' text format.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Refresh = Callable[[], Awaitable[None]]
"""Brings gauges up to date before they are told; it must not raise."""


def new_registry() -> CollectorRegistry:
    """A registry of one application, with the process's own memory, time and file descriptors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def _nothing() -> None:
    pass


def metrics_route(registry: CollectorRegistry, refresh: Refresh = _nothing) -> Route:
    """Open to whoever reaches the process, as its health is: numbers only, no one's ids."""

    async def metrics(_: Request) -> Response:
        await refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", metrics)
