"""Authentication and request parsing, which are the same for every route."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ADA, completion, token
from session_support.service import Service

from parley_contracts.internal_calls import SESSION_CALLS
from parley_core.auth.service_keys import CALLING_SERVICES
from parley_core.storage.postgres_pool import Pool
from parley_testing.peers import signing_key

ID, RUNNER = uuid4(), str(uuid4())
GATEWAY, HISTORY, INFERENCE, CLI = "gateway", "history", "inference", "cli"
IMPORTED = {"role": "user", "content": "x"}
COMPACTION = {"up_to_message_id": str(ID), "summary": "x", "model": "demo"}
# Method, path, a right body, and who may call: some of the table's.
ROUTES: list[tuple[str, str, Any, set[str]]] = [
    ("GET", "/assistants", None, {GATEWAY}),
    ("POST", "/sessions", {}, {GATEWAY}),
    ("GET", f"/sessions/{ID}", None, {GATEWAY, HISTORY}),
    ("POST", "/switch-assistant", {"assistant_id": "helper"}, {GATEWAY}),
    ("POST", f"/sessions/{ID}/messages", {"content": "hello"}, {GATEWAY}),
    ("PATCH", f"/sessions/{ID}", {"archived": True}, {GATEWAY}),
    ("DELETE", f"/sessions/{ID}", None, {GATEWAY}),
    ("DELETE", "/sessions", None, {GATEWAY}),
    ("POST", f"/sessions/{ID}/restore", None, {GATEWAY}),
    ("POST", f"/sessions/{ID}/fork", {}, {GATEWAY}),
    ("POST", f"/sessions/{ID}/regenerate", {}, {GATEWAY}),
    ("POST", f"/sessions/{ID}/import", {"messages": [IMPORTED]}, {GATEWAY}),
    ("POST", f"/sessions/{ID}/title", {"title": "x", "model": "demo"}, {INFERENCE}),
    ("POST", f"/sessions/{ID}/compaction", COMPACTION, {INFERENCE}),
    ("GET", f"/turns/{ID}", None, {GATEWAY, INFERENCE}),
    ("POST", f"/turns/{ID}/cancel", None, {GATEWAY}),
    ("POST", f"/turns/{ID}/claim", {"runner": RUNNER, "since": None}, {INFERENCE}),
    ("POST", f"/turns/{ID}/complete", completion(RUNNER), {INFERENCE}),
    ("POST", f"/turns/{ID}/fail", {"runner": RUNNER, "code": "x"}, {INFERENCE}),
    ("POST", f"/runners/{ID}/heartbeat", {"turns": [], "capacity": 1}, {INFERENCE}),
    ("POST", "/keys", {"session_ids": []}, {HISTORY, CLI}),
    ("POST", "/search-keys", {"people": []}, {HISTORY}),
    ("POST", "/versions", {"session_ids": []}, {GATEWAY}),
    ("GET", "/latest-versions", None, {HISTORY}),
]
WITH_BODY = [route for route in ROUTES if route[2] is not None]


async def test_only_the_services_of_the_table_may_make_each_call(session: Service) -> None:
    for call, callers in SESSION_CALLS.items():
        method, template = call.split(" ")
        path = re.sub(r"\{.+?\}", str(ID), template)
        for issuer in {*CALLING_SERVICES} - callers:
            response = await session.call(method, path, issuer=issuer)
            assert response.error == (403, "service_not_allowed", None), (call, issuer)
        stranger = await session.call(method, path, issuer="session")
        assert stranger.error == (401, "unauthenticated", None), call


async def test_the_services_of_the_table_may_call(session: Service) -> None:
    for method, path, body, callers in ROUTES:
        for issuer in callers:
            response = await session.call(method, path, body, issuer=issuer)
            assert response.status != 401, path
            if response.status == 403:
                assert response.error[1] != "service_not_allowed", path


async def test_an_invalid_principal_token_is_rejected(session: Service) -> None:
    now = datetime.now(UTC)
    for method, path, body, callers in ROUTES:
        issuer = min(callers)
        for bearer in (
            "nonsense",
            token(ADA, issuer=issuer, audience="inference"),
            token(ADA, key=signing_key(issuer, 2)),
            token(ADA, issuer=issuer, now=now - timedelta(seconds=61)),
            token(ADA, issuer=issuer, now=now + timedelta(seconds=60)),
        ):
            response = await session.call(method, path, body, bearer=bearer)
            assert response.error == (401, "unauthenticated", None), path


@pytest.mark.parametrize("body", [b"{", b'{"a": 1}}', b"\xff", b"[" * 100_000, b'{"a": NaN}'])
async def test_invalid_json_is_rejected(session: Service, body: bytes, pool: Pool) -> None:
    for method, path, _, callers in WITH_BODY:
        response = await session.call(method, path, body, issuer=min(callers))
        assert response.error[:2] == (400, "invalid_request"), path
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 0


async def test_an_unknown_field_is_rejected_by_name(session: Service, pool: Pool) -> None:
    for method, path, right, callers in WITH_BODY:
        response = await session.call(method, path, right | {"titel": "x"}, issuer=min(callers))
        assert response.error == (400, "invalid_request", "titel"), path
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 0


PRIVATE = "private words"
LONG = "x" * 10_000
END = completion(RUNNER)


WRONG: list[tuple[str, Any, str | None]] = [
    ("/sessions", {"id": PRIVATE}, "id"),
    ("/sessions", {"title": "x" * 201}, "title"),
    ("/sessions", {"title": 5}, "title"),
    ("/sessions", {"metadata": {"a": 5}}, "metadata[...]"),
    ("/sessions", {"metadata": {"a": "x" * 513}}, "metadata[...]"),
    ("/sessions", {"metadata": {"": PRIVATE}}, "metadata"),
    ("/sessions", {"metadata": {"x" * 65: PRIVATE}}, "metadata"),
    ("/sessions", {"metadata": dict.fromkeys(map(str, range(17)), "x")}, "metadata"),
    ("/sessions", {LONG: PRIVATE}, LONG[:256]),
    ("/sessions", [PRIVATE], None),
    ("/switch-assistant", {}, "assistant_id"),
    (f"/turns/{ID}/claim", {}, "runner"),
    (f"/turns/{ID}/claim", {"runner": PRIVATE}, "runner"),
    (f"/turns/{ID}/claim", {"runner": RUNNER, "since": 0}, "since"),
    (f"/turns/{ID}/claim", {"runner": RUNNER, "budgets": {"demo": -1}}, "budgets[...]"),
    (f"/turns/{ID}/complete", END | {"finish_reason": PRIVATE}, "finish_reason"),
    (f"/turns/{ID}/complete", END | {"total_ms": -1}, "total_ms"),
    (f"/turns/{ID}/complete", END | {"content": None}, "content"),
    (f"/turns/{ID}/complete", END | {"usage": {}}, "usage.prompt_tokens"),
    (f"/turns/{ID}/complete", END | {"usage": PRIVATE}, "usage"),
    (
        f"/turns/{ID}/complete",
        END | {"usage": {"prompt_tokens": PRIVATE, "completion_tokens": 1}},
        "usage.prompt_tokens",
    ),
    (
        f"/turns/{ID}/complete",
        END | {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "text": PRIVATE}},
        "usage.text",
    ),
    (f"/turns/{ID}/complete", END | {"price": {"currency": "EUR"}}, "price.prompt"),
    (
        f"/turns/{ID}/fail",
        {"runner": RUNNER, "code": "x", "price": {"currency": "EUR", "prompt": 10**30}},
        "price.prompt",
    ),
    (f"/turns/{ID}/fail", {"runner": RUNNER, "code": ""}, "code"),
    (f"/turns/{ID}/fail", {"runner": RUNNER, "code": "x" * 101}, "code"),
    (f"/runners/{ID}/heartbeat", {"turns": [str(ID), PRIVATE], "capacity": 1}, "turns.1"),
    (f"/runners/{ID}/heartbeat", {"turns": [str(ID)] * 10_001, "capacity": 1}, "turns"),
    ("/keys", {"session_ids": PRIVATE}, "session_ids"),
    ("/search-keys", {"people": [{"tenant": "default", "name": PRIVATE}]}, "people.0.name"),
    (f"/sessions/{ID}/fork", {"message_id": PRIVATE}, "message_id"),
    (f"/sessions/{ID}/import", {"messages": [], "text": PRIVATE}, "text"),
    (f"/sessions/{ID}/title", {"title": "", "model": "demo"}, "title"),
    (f"/sessions/{ID}/compaction", COMPACTION | {"tokens": -1}, "tokens"),
]


async def test_an_invalid_field_is_rejected_by_name_without_its_value(
    session: Service, caplog: pytest.LogCaptureFixture
) -> None:
    callers_of = {path: callers for _, path, _, callers in ROUTES}
    for path, body, param in WRONG:
        response = await session.call("POST", path, body, issuer=min(callers_of[path]))
        assert response.error == (400, "invalid_request", param), path
        assert PRIVATE not in str(response.body)
        assert len(response.body["error"]["message"]) < 200 + len(param or "")
    assert PRIVATE not in caplog.text


async def test_an_invalid_idempotency_key_is_rejected(session: Service, pool: Pool) -> None:
    for key in ("", "k" * 256, "kö"):
        for path, body in (
            ("/sessions", {}),
            ("/switch-assistant", {"assistant_id": "helper"}),
            (f"/sessions/{ID}/messages", {"content": "hello"}),
            (f"/sessions/{ID}/regenerate", {}),
            (f"/sessions/{ID}/fork", {}),
        ):
            response = await session.call("POST", path, body, key=key)
            assert response.error == (400, "invalid_request", "Idempotency-Key")
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 0


async def test_an_unknown_route_answers_in_the_error_shape(session: Service) -> None:
    for method, path, refusal in (
        ("GET", "/nothing", (404, "not_found", None)),
        ("GET", "/sessions/not-a-uuid", (404, "not_found", None)),
        ("PUT", f"/sessions/{ID}", (405, "method_not_allowed", None)),
        ("GET", "/keys", (405, "method_not_allowed", None)),
    ):
        response = await session.call(method, path)
        assert response.error == refusal
        assert response.headers["x-request-id"]


async def test_health_routes_need_no_authentication(session: Service) -> None:
    for path in ("/livez", "/readyz", "/startupz"):
        async with session.http.get(session.url + path) as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
