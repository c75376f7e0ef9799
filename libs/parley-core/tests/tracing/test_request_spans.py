"""Requests continue the trace of a trusted caller, and of nobody else."""

import json
import logging
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.errors import Conflict, Unavailable
from parley_core.http.request_observer import RequestObserver
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.safe_logging import _JsonFormatter
from parley_core.tracing.request_spans import BeginSpan, EntrySpans, internal_span
from parley_core.tracing.spans import trace_headers
from parley_testing.recorded_spans import (
    RecordedSpans,
    ids_of,
    recorded_spans,
    traceparent_of,
)

SECRET = "what-a-person-typed"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
PROXY, STRANGER = ("10.1.2.3", 1), ("203.0.113.9", 1)


@pytest.fixture
def spans() -> Iterator[RecordedSpans]:
    with recorded_spans() as recorded:
        yield recorded


async def read(_: Request) -> Response:
    return JSONResponse(dict(trace_headers()))


async def conflict(_: Request) -> Response:
    raise Conflict(SECRET, code="turn_open")


async def busy(_: Request) -> Response:
    raise Unavailable(SECRET, code="session_busy")


async def crash(_: Request) -> Response:
    raise KeyError(SECRET)


def client(begin_span: BeginSpan, address: tuple[str, int] = PROXY) -> TestClient:
    routes = [
        Route("/things/{name}", read),
        Route("/conflict", conflict),
        Route("/busy", busy),
        Route("/crash", crash),
        Route("/readyz", read),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(
        RequestObserver,
        metrics=ProcessMonitor("test").requests,
        begin_span=begin_span,
    )
    install_error_handlers(app)
    return TestClient(app, raise_server_exceptions=False, client=address)


ENTRY = EntrySpans([ip_network("10.0.0.0/8")])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_the_trace_of_a_trusted_proxy_is_continued(spans: RecordedSpans, address: str) -> None:
    sent = client(ENTRY, (address, 1)).get("/things/a", headers=SAMPLED).json()
    recorded = spans.named("GET /things/{name}")
    assert ids_of(recorded)[0] == TRACE
    assert sent == {"traceparent": traceparent_of(recorded), "tracestate": "vendor=1"}


@pytest.mark.parametrize("address", ["203.0.113.9", "testclient", "2001:db8::1"])
def test_the_trace_of_anybody_else_is_only_linked(spans: RecordedSpans, address: str) -> None:
    client(ENTRY, (address, 1)).get("/things/a", headers=SAMPLED)
    recorded = spans.named("GET /things/{name}")
    assert recorded.parent is None
    assert ids_of(recorded)[0] != TRACE
    assert [f"{each.context.span_id:016x}" for each in recorded.links] == [SPAN]


@pytest.mark.parametrize("headers", [{}, {"traceparent": SECRET}])
def test_a_request_without_a_trace_starts_one_at_the_entry(
    spans: RecordedSpans, headers: dict[str, str]
) -> None:
    client(ENTRY).get("/things/a", headers=headers)
    recorded = spans.named("GET /things/{name}")
    assert (recorded.parent, [*recorded.links]) == (None, [])


def test_two_traceparents_are_none(spans: RecordedSpans) -> None:
    twice = [("traceparent", SAMPLED["traceparent"])] * 2
    client(ENTRY).get("/things/a", headers=twice)
    assert ids_of(spans.named("GET /things/{name}"))[0] != TRACE


def test_an_internal_request_continues_its_caller_or_has_no_span(spans: RecordedSpans) -> None:
    internal = client(internal_span)
    assert internal.get("/things/a").json() == {}
    assert not spans.all
    internal.get("/things/a", headers=SAMPLED)
    assert ids_of(spans.named("GET /things/{name}"))[0] == TRACE


def test_a_span_has_the_route_and_the_code_and_nothing_that_was_sent(spans: RecordedSpans) -> None:
    entry = client(ENTRY)
    for path in (f"/things/{SECRET}?ticket={SECRET}", f"/{SECRET}", "/conflict", "/busy", "/crash"):
        entry.get(path, headers={"authorization": SECRET, "x-request-id": "r-1"})
    found, unknown, conflicting, unavailable, crashed = spans.all
    assert found.attributes == {
        "http.request.method": "GET",
        "http.route": "/things/{name}",
        "http.response.status_code": 200,
        "parley.request_id": "r-1",
    }
    assert unknown.name == "GET"
    assert "http.route" not in (unknown.attributes or {})
    codes = [each.attributes["error.type"] for each in spans.all[2:] if each.attributes]
    assert codes[:2] == ["turn_open", "session_busy"]
    assert [each.status.status_code.name for each in (conflicting, unavailable, crashed)] == [
        "UNSET",
        "ERROR",
        "ERROR",
    ]
    assert SECRET not in "".join(each.to_json() for each in spans.all)


def test_a_method_that_nobody_knows_is_not_named(spans: RecordedSpans) -> None:
    client(ENTRY).request(SECRET, "/things/a")
    [recorded] = spans.all
    assert recorded.name == "HTTP /things/{name}"
    assert SECRET not in recorded.to_json()


def test_a_probe_has_no_span(spans: RecordedSpans) -> None:
    client(ENTRY).get("/readyz")
    assert not spans.all


def test_the_log_lines_of_a_request_have_the_ids_of_its_span(
    spans: RecordedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(_JsonFormatter("test"))
    caplog.set_level(logging.INFO)
    client(ENTRY).get("/things/a")
    [line] = [json.loads(each) for each in caplog.text.splitlines() if '"request"' in each]
    assert (line["trace_id"], line["span_id"]) == ids_of(spans.named("GET /things/{name}"))
