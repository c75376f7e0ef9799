"""Limited requests: the headers of their responses, their refusals, and where a caller stands."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import openai
import pytest
from aiohttp import web
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.inference import Inference
from gateway_fakes.issuer import JWT_SECRET, token
from gateway_fakes.openai_client import HELLO, openai_client

from parley_core.auth.principal import Principal
from parley_core.process import settings_reloader
from parley_core.runtime.settings import InvalidSettings
from parley_gateway.limits import counted_requests
from parley_testing.eventually import eventually
from parley_testing.fake_service import error, raw
from parley_testing.peers import key_variables
from parley_testing.session_service import FakeSessionService

Limited = Callable[..., Awaitable[Gateway]]
PAGE = f"/v1/history/{SESSION_ID}"
HEADERS = tuple(f"x-ratelimit-{kind}-requests" for kind in ("limit", "remaining", "reset"))


@pytest.fixture
def limited(
    start: Callable[..., Awaitable[Gateway]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Limited:
    """Starts a gateway with these rules, 50 s before the end of a minute."""

    async def start_limited(rules: str) -> Gateway:
        path = tmp_path / "limits.yaml"
        path.write_text(f"limits: [{rules}]")
        monkeypatch.setattr(counted_requests, "_now", lambda: 1_800_000_010.0)
        return await start(limits_file=path)

    return start_limited


async def test_responses_have_the_headers_of_the_limit(limited: Limited) -> None:
    gateway = await limited("{requests_per_minute: 2}")
    for remaining in ("1", "0"):
        async with gateway.request("GET", "/v1/models") as response:
            assert response.status == 200
            assert [response.headers[name] for name in HEADERS] == ["2", remaining, "50s"]
    async with gateway.request("GET", "/v1/models") as refused:
        assert [refused.headers[name] for name in HEADERS] == ["2", "0", "50s"]
        assert refused.headers["retry-after"] == "50"
        body = (await refused.json())["error"]
    assert (refused.status, body["code"]) == (429, "rate_limit_exceeded")
    assert (body["type"], body["param"]) == ("rate_limit_error", "requests_per_minute")
    async with gateway.request("GET", "/v1/models", bearer=token(sub="eve")) as other:
        assert other.status == 200


async def test_pages_from_the_cache_count_as_requests(
    limited: Limited, session: FakeSessionService, history: History
) -> None:
    gateway = await limited("{requests_per_minute: 3}")
    history.project(SESSION_ID, 1, "Hello")
    session.versions[SESSION_ID] = 1
    remaining = []
    for _ in range(3):
        async with gateway.request("GET", PAGE) as response:
            assert response.status == 200
            remaining.append(response.headers["x-ratelimit-remaining-requests"])
    assert remaining == ["2", "1", "0"]
    refused = await gateway.expect_error("GET", PAGE)
    assert refused == (429, "rate_limit_exceeded", "requests_per_minute")
    value = gateway.app.monitor.registry.get_sample_value
    limit = {"limit": "requests_per_minute"}
    assert value("parley_gateway_rate_limit_refused_total", limit) == 1


async def test_a_completion_without_a_session_is_admitted_by_session(
    limited: Limited, session: FakeSessionService, inference: Inference
) -> None:
    gateway = await limited("{user: ada, tokens_per_day: 10}")
    session.answers.append(error(429, "quota_exceeded", **{"x-ratelimit-reset-tokens": "1h0m0s"}))
    async with openai_client(gateway) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="parley-demo", messages=HELLO)  # type: ignore[arg-type]
    assert refused.value.code == "quota_exceeded"
    assert refused.value.response.headers["x-ratelimit-reset-tokens"] == "1h0m0s"
    assert session.called("admission") == [{"model": "parley-demo"}]
    assert inference.called("completions") == []
    # Only for those whose turns or tokens are limited.
    inference.answers.append(raw(b"{}"))
    request = {"model": "parley-demo", "messages": HELLO}
    assert (await gateway.post("/v1/chat/completions", request, bearer=token(sub="eve")))[0] == 200
    assert len(session.called("admission")) == 1


async def test_an_undecodable_response_makes_the_session_service_unavailable(
    limited: Limited, session: FakeSessionService
) -> None:
    gateway = await limited("{user: ada, tokens_per_day: 10}")
    completion = {"model": "parley-demo", "messages": HELLO}
    reads, completes = ("GET", "/v1/limits", None), ("POST", "/v1/chat/completions", completion)
    for method, path, body in (reads, completes):
        session.answers.append(raw(b"[]"))
        refused = await gateway.expect_error(method, path, body=body)
        assert refused == (503, "session_unavailable", None)


async def test_a_completion_runs_under_the_id_for_which_its_budget_is_reserved(
    limited: Limited, session: FakeSessionService, inference: Inference
) -> None:
    gateway = await limited("{cost_per_day: 10}")
    id = str(uuid4())
    session.answers.append(web.json_response({"id": id}))
    inference.answers.append(raw(b"{}"))
    request = {"model": "parley-demo", "messages": HELLO, "max_tokens": 5, "n": 2}
    request["max_completion_tokens"] = 3
    assert (await gateway.post("/v1/chat/completions", request))[0] == 200
    [admitted] = session.called("admission")
    assert admitted["prompt_tokens"] > 0
    assert (admitted["max_tokens"], admitted["choices"]) == (5, 2)
    assert inference.calls[-1].headers["parley-completion-id"] == id


async def test_all_text_of_a_completion_is_part_of_its_reserved_prompt(
    limited: Limited, session: FakeSessionService, inference: Inference
) -> None:
    gateway = await limited("{cost_per_day: 10}")
    long = "word " * 600
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": long}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    schema = {"name": "f", "description": long}
    for given in (
        {"messages": [*HELLO, asked]},
        {"tools": [{"type": "function", "function": schema}]},
        {"functions": [schema]},
        {"response_format": {"type": "json_schema", "json_schema": schema}},
    ):
        session.answers.append(web.json_response({}))
        inference.answers.append(raw(b"{}"))
        request = {"model": "parley-demo", "messages": HELLO, **given}
        assert (await gateway.post("/v1/chat/completions", request))[0] == 200
    assert all(each["prompt_tokens"] >= 1_000 for each in session.called("admission"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "status"), [((404, "model_not_found"), 404), ((401, "invalid_token"), 503)]
)
async def test_the_reservation_of_a_completion_that_does_not_run_ends(
    limited: Limited,
    session: FakeSessionService,
    inference: Inference,
    stream: bool,
    answer: tuple[int, str],
    status: int,
) -> None:
    gateway = await limited("{cost_per_day: 10}")
    id = str(uuid4())
    session.answers += [web.json_response({"id": id}), web.json_response({})]
    inference.answers.append(error(*answer))
    request = {"model": "parley-demo", "messages": HELLO, "stream": stream}
    refused = await gateway.expect_error("POST", "/v1/chat/completions", body=request)
    assert refused[0] == status
    assert [(call.method, call.path) for call in session.calls][-1] == (
        "DELETE",
        f"/completions/admission/{id}",
    )


async def test_the_limits_of_an_api_key_apply_in_addition_to_those_of_its_owner(
    limited: Limited, session: FakeSessionService
) -> None:
    gateway = await limited("{requests_per_minute: 3}")
    key = session.api_keys.create(Principal("default", "ada"), limits={"requests_per_minute": 1})
    statuses = []
    # What is refused to the key does not count for its owner.
    for bearer in (key.key, key.key, token(), token(), token()):
        async with gateway.request("GET", "/v1/models", bearer=bearer) as response:
            statuses.append(response.status)
    assert statuses == [200, 429, 200, 200, 429]


async def test_open_streams_are_limited(limited: Limited) -> None:
    gateway = await limited("{open_streams: 0}")
    refused = await gateway.expect_error("GET", "/v1/export")
    assert refused == (429, "rate_limit_exceeded", "open_streams")


async def test_where_the_caller_stands(limited: Limited, session: FakeSessionService) -> None:
    gateway = await limited("{requests_per_minute: 5, open_streams: 2}")
    session.limits = [
        {
            "name": "tokens_per_day",
            "value": 10,
            "used": 12,
            "per": "tenant",
            "api_key": None,
            "model": "large",
            "resets_at": "2026-11-30T00:00:00Z",
        },
        {
            "name": "cost_per_day",
            "value": 100,
            "used": 12,
            "reserved": 8,
            "currency": "EUR",
            "per": "person",
            "api_key": None,
            "model": None,
            "resets_at": "2026-11-30T00:00:00Z",
        },
    ]
    status, body = await gateway.get("/v1/limits")
    assert (status, body["object"]) == (200, "limits")
    assert [
        (each["name"], each["limit"], each["used"], each["remaining"], each["resets_at"])
        for each in body["data"]
    ] == [
        ("requests_per_minute", 5, 1, 4, "2027-01-15T08:01:00.000000Z"),
        ("open_streams", 2, 0, 2, None),
        ("tokens_per_day", 10, 12, 0, "2026-11-30T00:00:00.000000Z"),
        ("cost_per_day", 100, 12, 80, "2026-11-30T00:00:00.000000Z"),
    ]
    assert [(each["reserved"], each["currency"]) for each in body["data"]][2:] == [
        (0, None),
        (8, "EUR"),
    ]
    assert body["data"][2]["model"] == "large"


async def test_without_a_file_nothing_is_limited(
    gateway: Gateway, session: FakeSessionService
) -> None:
    async with gateway.request("GET", "/v1/models") as response:
        assert not [name for name in response.headers if name.startswith("x-ratelimit")]
    assert (await gateway.get("/v1/limits"))[1] == {"object": "limits", "data": []}


async def test_an_invalid_file_ends_the_start(limited: Limited) -> None:
    with pytest.raises(InvalidSettings):
        await limited("{requests_per_minute: -1}")


async def test_a_changed_file_takes_effect_and_a_wrong_one_does_not(
    limited: Limited,
    session: FakeSessionService,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "limits.yaml"
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    monkeypatch.setenv("PARLEY_LIMITS_FILE", str(path))
    for name, value in key_variables("gateway").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PARLEY_JWT_SECRET", JWT_SECRET)
    for name in ("SESSION", "INFERENCE", "HISTORY"):
        monkeypatch.setenv(f"PARLEY_{name}_URL", "http://127.0.0.1:9")
    gateway = await limited("{tenant: other, requests_per_minute: 1}")
    bearer = token()
    history.project(SESSION_ID, 1, "Hello")
    session.versions[SESSION_ID] = 1

    async def reads() -> list[int]:
        """Reads of a page that may be answered before they are parsed."""
        return [(await gateway.get(PAGE, bearer=bearer))[0] for _ in range(4)]

    def reloads(outcome: str) -> float:
        registry = gateway.app.monitor.registry
        value = registry.get_sample_value("parley_config_reloads_total", {"outcome": outcome})
        return value or 0

    assert await reads() == [200] * 4
    path.write_text("limits:\n  - {requests_per_minute: 2}\n")
    await eventually(lambda: reloads("ok") == 1)
    assert await reads() == [200, 200, 429, 429]
    path.write_text("limits:\n  - {requests_per_minute: 9}\n  - {requests_per_minute: 8}\n")
    await eventually(lambda: reloads("failed") == 1)
    assert await reads() == [429] * 4
    assert "PARLEY_LIMITS_FILE is wrong" in caplog.text
    assert "(line 3)" in caplog.text


async def test_headers_of_a_limit_of_tokens_are_passed_on(
    limited: Limited, session: FakeSessionService, inference: Inference
) -> None:
    gateway = await limited("{tokens_per_minute: 100}")
    session.answers.append(
        web.json_response({}, headers={"x-ratelimit-remaining-tokens": "70", "x-other": "1"})
    )
    inference.answers.append(raw(b"{}"))
    request = {"model": "parley-demo", "messages": HELLO}
    async with gateway.request("POST", "/v1/chat/completions", body=request) as response:
        assert response.status == 200
        assert response.headers["x-ratelimit-remaining-tokens"] == "70"
        assert "x-other" not in response.headers
