from prometheus_client import Gauge
from starlette.applications import Starlette
from starlette.testclient import TestClient

from parley_core.runtime.metrics import metrics_route, new_registry


def test_gauges_are_refreshed_before_each_scrape() -> None:
    registry = new_registry()
    gauge = Gauge("parley_outbox_events", "Events that the log has not.", registry=registry)

    async def refresh() -> None:
        gauge.inc()

    client = TestClient(Starlette(routes=[metrics_route(registry, refresh)]))
    assert "parley_outbox_events 1.0" in client.get("/metrics").text
    answer = client.get("/metrics")
    assert "parley_outbox_events 2.0" in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_two_applications_in_one_process_have_separate_metrics() -> None:
    for _ in range(2):
        Gauge("parley_outbox_events", "Events that the log has not.", registry=new_registry())
