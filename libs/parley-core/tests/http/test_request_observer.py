"""Each request has an id, one log line and its place in the metrics, and leaks nothing."""

import json
import logging

import pytest
from core_fakes.observed import observe
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from parley_core.auth.principal import Principal
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.errors import Conflict, Unavailable
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.request_context import log_fields

SECRET = "what-a-person-typed"
TURN = "/turns/{turn_id}"
log = logging.getLogger("parley.test")


async def read(request: Request) -> Response:
    request.scope["state"]["principal"] = Principal("acme", "ada")
    log.info("reading")
    return JSONResponse(dict(log_fields()))


async def fail(_: Request) -> Response:
    raise Conflict("No.", code="turn_open")


async def busy(_: Request) -> Response:
    raise Unavailable("Later.", code="session_busy")


async def crash(_: Request) -> Response:
    raise KeyError(SECRET)


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route(TURN, read),
        Route("/quiet", read),
        Route("/fail", fail),
        Route("/busy", busy),
        Route("/crash", crash),
    ]
    app = Starlette(routes=routes)
    app.state.monitor = observe(app)
    install_error_handlers(app)
    return TestClient(app, raise_server_exceptions=False)


def monitor_of(client: TestClient) -> ProcessMonitor:
    monitor: ProcessMonitor = client.app.state.monitor  # type: ignore[attr-defined]
    return monitor


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    entries = [each for each in caplog.records if each.name == "parley.access"]
    return [each.fields for each in entries]  # type: ignore[attr-defined]


def test_a_request_has_one_line_with_its_route_and_nothing_that_the_client_sent(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = f"/turns/t-1?ticket={SECRET}"
    response = client.request("GET", url, headers={"authorization": SECRET, "x-request-id": "r-1"})
    [line] = lines(caplog)
    assert (
        line.items()
        >= {
            "method": "GET",
            "route": TURN,
            "status": 200,
            "turn_id": "t-1",
            "tenant": "acme",
            "person": "p-1",
            "bytes": len(response.content),
            "kind": "response",
        }.items()
    )
    assert "ada" not in json.dumps(line)
    assert SECRET not in json.dumps(line)
    assert response.headers["x-request-id"] == "r-1"


def test_of_routes_that_share_an_endpoint_the_first_names_a_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    app = FastAPI(routes=[Route("/", read), Route("/settings", read)])
    observe(app)
    TestClient(app).get("/settings")
    assert [line["route"] for line in lines(caplog)] == ["/"]


def test_log_lines_within_a_request_have_its_id(client: TestClient) -> None:
    assert client.get("/turns/t-1", headers={"x-request-id": "r-1"}).json() == {"request_id": "r-1"}
    assert log_fields() == {}


def test_successful_requests_to_a_quiet_route_have_no_line(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/quiet")
    assert lines(caplog) == []


@pytest.mark.parametrize(
    ("path", "route", "status", "code"),
    [
        ("/fail", "/fail", 409, "turn_open"),
        ("/busy", "/busy", 503, "session_busy"),
        ("/crash", "/crash", 500, None),
        ("/nothing/like/it", "unmatched", 404, "not_found"),
    ],
)
def test_an_error_is_counted_by_route_and_code(
    client: TestClient,
    caplog: pytest.LogCaptureFixture,
    path: str,
    route: str,
    status: int,
    code: str | None,
) -> None:
    caplog.set_level(logging.INFO)
    assert client.get(path).status_code == status
    [line] = lines(caplog)
    assert (line["route"], line["status"], line.get("code")) == (route, status, code)
    sample = monitor_of(client).registry.get_sample_value
    duration = {"method": "GET", "route": route, "status_class": f"{status // 100}xx"}
    assert sample("http_server_request_duration_seconds_count", duration) == 1
    if code is not None:
        assert sample("parley_http_errors_total", {"route": route, "code": code}) == 1


def test_an_unknown_method_does_not_become_a_label(client: TestClient) -> None:
    client.request("BREW", "/quiet")
    labels = {"method": "other", "route": "/quiet", "status_class": "4xx"}
    sample = monitor_of(client).registry.get_sample_value
    assert sample("http_server_request_duration_seconds_count", labels) == 1


def test_a_busy_process_closes_the_connection_so_that_a_retry_reaches_another(
    client: TestClient,
) -> None:
    assert client.get("/busy").headers["connection"] == "close"
    assert "connection" not in client.get("/fail").headers
