"""The Prometheus metrics endpoint, `GET /metrics`.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Refresh = Callable[[], Awaitable[None]]
"""Updates gauges before a scrape; it must not raise."""


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics of the process: memory, CPU time, file descriptors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def _no_refresh() -> None:
    pass


def metrics_route(registry: CollectorRegistry, refresh: Refresh = _no_refresh) -> Route:
    """Return the route; it needs no authentication, since metrics carry no personal data."""

    async def metrics(_: Request) -> Response:
        await refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", metrics)
