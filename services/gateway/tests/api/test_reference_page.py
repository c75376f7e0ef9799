"""`/`, `/docs` and the security headers of all responses."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.inference import Inference, deltas

from parley_contracts import turn_sse as sse
from parley_gateway.history.get_history import HistoryReader
from parley_testing.session_service import FakeSessionService

HISTORY = f"/v1/history/{SESSION_ID}"
START = "/docs/start.js"


async def text_of(gateway: Gateway, path: str, content_type: str) -> str:
    async with gateway.request("GET", path, bearer="") as answer:
        assert (answer.status, answer.content_type) == (200, content_type)
        return await answer.text()


async def test_the_reference_page_loads_nothing_from_another_host(gateway: Gateway) -> None:
    page = await text_of(gateway, "/docs", "text/html")
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 4
    for file in files:
        async with gateway.request("GET", f"/{file}", bearer="") as answer:
            assert answer.status == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
            body = await answer.read()
        assert len(body) > 100
        async with gateway.request(
            "GET", f"/{file}", bearer="", if_none_match=answer.headers.get("etag", "")
        ) as again:
            assert again.status == (304 if "etag" in answer.headers else 200)
    assert not re.search(r"<script[^>]*>[^<]", page), "an inline script"
    assert "https://" not in page
    start = await text_of(gateway, START, "text/javascript")
    assert 'url: "openapi.json"' in start
    assert "validatorUrl: null" in start


@pytest.mark.parametrize("path", ["/docs", START])
async def test_the_reference_page_has_a_policy_of_its_own(gateway: Gateway, path: str) -> None:
    async with gateway.request("GET", path, bearer="") as answer:
        policy = answer.headers["content-security-policy"]
    directives = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"


async def test_the_files_of_the_page_are_no_way_to_others(gateway: Gateway) -> None:
    for path in ("/docs/assets/", "/docs/assets/..%2f__init__.py", "/docs/assets/nothing.js"):
        async with gateway.request("GET", path, bearer="") as answer:
            assert answer.status == 404


async def test_the_reference_can_be_switched_off(
    start: Callable[..., Awaitable[Gateway]],
) -> None:
    gateway = await start(public_docs=False)
    for path in ("/docs", START, "/docs/assets/swagger-ui.css", "/openapi.json", "/redoc"):
        assert (await gateway.expect_error("GET", path))[:2] == (404, "not_found")
    assert "/docs" not in await text_of(gateway, "/", "text/plain")


async def test_the_root_says_where_the_api_is(gateway: Gateway) -> None:
    line = await text_of(gateway, "/", "text/plain")
    assert "/v1" in line
    assert "/docs" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/docs", 200),
        ("/livez", 200),
        ("/v1/models", 200),
        ("/v1/sessions", 503),
        ("/v1/nothing", 404),
        ("/v1/assistants?limit=x", 400),
        (HISTORY, 500),
    ],
)
async def test_every_response_has_the_security_headers(
    gateway: Gateway,
    inference: Inference,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    status: int,
) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(HistoryReader, "read_page", fail)
    history.is_unavailable = True
    async with gateway.request("GET", path) as answer:
        assert answer.status == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        expected = "no-cache" if path == "/docs" else "no-store"
        assert answer.headers["cache-control"] == expected


async def test_a_stream_and_a_cached_page_have_them_too(
    gateway: Gateway, session: FakeSessionService, inference: Inference, history: History
) -> None:
    inference.script(deltas("Hi"), lambda: sse.ended(session.end("Hi")))
    async with gateway.stream() as stream:
        await stream.events()
    assert stream.response.headers["x-content-type-options"] == "nosniff"
    assert stream.response.headers["cache-control"] == "no-store"
    session.versions[SESSION_ID] = 4
    history.project(SESSION_ID, 4, "Hello")
    for etag in ("", "", 'W/"4"'):
        async with gateway.request("GET", HISTORY, if_none_match=etag) as answer:
            assert answer.headers.getall("x-content-type-options") == ["nosniff"]
            assert answer.headers.getall("cache-control") == ["private, no-cache"]
