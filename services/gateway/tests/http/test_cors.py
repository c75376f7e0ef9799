"""Pages of other origins: preflight requests, and responses that they may read."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.inference import Inference, deltas
from gateway_fakes.issuer import JWT_SECRET
from starlette.routing import Route

from parley_contracts import turn_sse as sse
from parley_core.runtime.settings import InvalidSettings, load
from parley_gateway.history.get_history import HistoryReader
from parley_gateway.settings import GatewaySettings
from parley_testing.fake_service import error
from parley_testing.peers import key_variables
from parley_testing.session_service import FakeSessionService

CHAT, OTHER = "https://chat.example.com", "https://other.example.com"
HISTORY = f"/v1/history/{SESSION_ID}"
PREFLIGHT = {
    "origin": CHAT,
    "access_control_request_method": "POST",
    "access_control_request_headers": "authorization,content-type,x-stainless-lang",
}


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]]) -> Gateway:
    return await start(cors_origins=(CHAT, "http://localhost:5173"))


async def test_a_preflight_request_needs_no_token_on_any_route(gateway: Gateway) -> None:
    paths = {route.path for route in gateway.app.api.routes if isinstance(route, Route)}
    assert len(paths) > 20
    for path in paths:
        sent = {name.replace("_", "-"): value for name, value in PREFLIGHT.items()}
        async with gateway.http.options(gateway.url + path, headers=sent) as answer:
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == CHAT
            allowed = answer.headers["access-control-allow-headers"]
            assert allowed == PREFLIGHT["access_control_request_headers"]
            assert {"GET", "POST", "PATCH", "DELETE"} <= set(
                answer.headers["access-control-allow-methods"].split(", ")
            )
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("status", "request_of"),
    [
        (401, {"method": "GET", "path": "/v1/sessions", "bearer": "none"}),
        (404, {"method": "GET", "path": "/v1/nothing"}),
        (405, {"method": "DELETE", "path": "/v1/models"}),
        (413, {"method": "POST", "path": "/v1/sessions", "body": b" " * 2_000_000}),
        (503, {"method": "GET", "path": "/v1/models"}),
        (500, {"method": "GET", "path": HISTORY}),
    ],
)
async def test_a_page_can_read_every_error(
    gateway: Gateway,
    inference: Inference,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    request_of: dict[str, Any],
) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(HistoryReader, "read_page", fail)
    inference.is_unavailable = True
    async with gateway.request(**request_of, origin=CHAT) as answer:
        assert answer.status == status
        assert_readable(answer)
        assert (await answer.json())["error"]["code"]


async def test_a_page_can_read_a_cached_history_page_and_a_304(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    session.versions[SESSION_ID] = 4
    history.project(SESSION_ID, 4, "Hello")
    for etag, status in (("", 200), ("", 200), ('W/"4"', 304)):
        async with gateway.request("GET", HISTORY, origin=CHAT, if_none_match=etag) as answer:
            assert answer.status == status
            assert_readable(answer)


async def test_a_page_can_read_a_stream_and_resume_it_with_its_ticket(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hello"), lambda: sse.ended(session.end("Hello")))
    async with gateway.stream(origin=CHAT) as stream:
        started, *_ = await stream.events()
    assert_readable(stream.response)
    # As an EventSource sends it: without a preflight request and without a token.
    headers = {"origin": CHAT, "last-event-id": "3", "accept": "text/event-stream"}
    async with gateway.http.get(gateway.url + started["stream_url"], headers=headers) as answer:
        assert answer.status == 200
        assert_readable(answer)
        assert b'"delta":"lo"' in await answer.read()


async def test_a_page_can_read_the_ids_of_a_completion_in_a_session(
    gateway: Gateway, session: FakeSessionService
) -> None:
    session.answers.append(error(503, "session_busy"))
    async with gateway.request("POST", "/v1/sessions", origin=CHAT) as answer:
        exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "parley-session-id", "parley-turn-id", "retry-after"} <= set(exposed)


async def test_other_origins_may_read_nothing(gateway: Gateway) -> None:
    async with gateway.request("GET", "/livez", origin=OTHER) as answer:
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"
    async with gateway.request(
        "OPTIONS", "/v1/sessions", **PREFLIGHT | {"origin": OTHER}
    ) as answer:
        assert answer.status == 400
        assert "access-control-allow-origin" not in answer.headers


async def test_without_the_setting_there_is_no_cors(
    start: Callable[..., Awaitable[Gateway]],
) -> None:
    gateway = await start()
    async with gateway.request("GET", "/livez", origin=CHAT) as answer:
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
    async with gateway.request("OPTIONS", "/v1/sessions", **PREFLIGHT) as answer:
        assert answer.status == 405


async def test_all_origins_may_be_allowed(start: Callable[..., Awaitable[Gateway]]) -> None:
    gateway = await start(cors_origins="*")
    async with gateway.request("GET", "/livez", origin=OTHER) as answer:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("https://a.example", ("https://a.example",)),
        (
            "https://a.example, http://localhost:5173",
            ("https://a.example", "http://localhost:5173"),
        ),
        ("HTTPS://A.example:443,http://[::1]:80", ("https://a.example", "http://[::1]")),
        ("http://a.example:443", ("http://a.example:443",)),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins_are_read_as_browsers_send_them(
    monkeypatch: pytest.MonkeyPatch, given: str, origins: tuple[str, ...]
) -> None:
    set_variables(monkeypatch, given)
    assert load(GatewaySettings).cors_origins == origins


@pytest.mark.parametrize(
    "given",
    [
        "https://a.example/",
        "https://a.example/chat",
        "https://a.example?x",
        "https://a.example#x",
        "a.example",
        "//a.example",
        "null",
        "file://",
        "ftp://a.example",
        "https://",
        "https://*.example",
        "https://*",
        "*,https://a.example",
        "https://user:password@a.example",
        "https://*:secret@a.example",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:x",
        "https://ä.example",
        "https://a.example;https://b.example",
        "https://a.example,",
        "https://a example",
        "https://a.example\nb",
    ],
)
def test_anything_but_origins_ends_the_start(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    set_variables(monkeypatch, given)
    with pytest.raises(InvalidSettings, match=r"^PARLEY_CORS_ORIGINS is wrong: ") as refused:
        load(GatewaySettings)
    assert "secret" not in str(refused.value)
    assert "password" not in str(refused.value)


def set_variables(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    for name in ("SESSION", "INFERENCE", "HISTORY"):
        monkeypatch.setenv(f"PARLEY_{name}_URL", "http://127.0.0.1:1")
    for name, value in key_variables("gateway").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PARLEY_JWT_SECRET", JWT_SECRET)
    monkeypatch.setenv("PARLEY_CORS_ORIGINS", origins)


def assert_readable(answer: Any) -> None:
    assert answer.headers["access-control-allow-origin"] == CHAT
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    assert answer.headers["x-request-id"]
