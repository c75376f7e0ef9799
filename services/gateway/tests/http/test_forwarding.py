"""Forwarded calls: validated, sent on, and answered with the bytes of the service."""

from typing import Any
from urllib.parse import urlencode

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_core.auth.principal import Principal
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

# Spaces where nobody who encodes it again would put them.
BODY = b'{ "object" :"anything",  "n": 1.0 }'
ADA = Principal("default", "ada")
ANOTHER = another_id()
NOON = "2026-01-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("path", "peer", "called"),
    [
        ("/v1/assistants", "session", "/assistants"),
        ("/v1/assistants/coder", "session", "/assistants/coder"),
        (f"/v1/sessions/{SESSION_ID}", "session", f"/sessions/{SESSION_ID}"),
        (f"/v1/turns/{SESSION_ID}", "session", f"/turns/{SESSION_ID}"),
        ("/v1/models", "inference", "/models"),
        (f"/v1/history/{SESSION_ID}", "history", f"/history/{SESSION_ID}"),
    ],
)
async def test_a_read_returns_the_bytes_of_the_service(
    gateway: Gateway, request: Any, path: Any, peer: Any, called: Any
) -> None:
    service = request.getfixturevalue(peer)
    service.answers.append(raw(BODY))
    async with gateway.request("GET", path, x_request_id="req-7") as answer:
        assert (answer.status, await answer.read()) == (200, BODY)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"] == "req-7"
    [call] = service.calls
    assert (call.method, call.path, call.body) == ("GET", called, None)
    assert (call.principal, call.request_id) == (ADA, "req-7")


@pytest.mark.parametrize(
    ("method", "path", "body", "peer", "called", "status"),
    [
        ("POST", "/sessions", {}, "session", None, 201),
        ("POST", "/sessions", {"temporary": True}, "session", None, 200),
        (
            "POST",
            "/sessions",
            {"id": ANOTHER, "title": "", "metadata": {"a": "\x00"}},
            "session",
            None,
            201,
        ),
        ("POST", "/sessions", {"assistant_id": None}, "session", None, 201),
        ("POST", "/switch-assistant", {"assistant_id": "coder"}, "session", None, 200),
        ("POST", f"/turns/{ANOTHER}/cancel", {}, "session", None, 200),
        ("PATCH", f"/sessions/{ANOTHER}", {"title": None}, "session", None, 200),
        (
            "PATCH",
            f"/sessions/{ANOTHER}",
            {"metadata": {}, "archived": False, "legal_hold": True},
            "session",
            None,
            200,
        ),
        ("POST", f"/sessions/{ANOTHER}/restore", {}, "session", None, 200),
        ("POST", f"/sessions/{ANOTHER}/fork", {}, "session", None, 201),
        (
            "POST",
            f"/sessions/{ANOTHER}/fork",
            {"message_id": ANOTHER, "id": ANOTHER, "title": "Other"},
            "session",
            None,
            201,
        ),
        (
            "POST",
            f"/history/{ANOTHER}",
            {
                "messages": [
                    {"role": "system", "content": "a"},
                    {"id": ANOTHER, "role": "user", "content": "b", "created_at": NOON},
                ]
            },
            "session",
            f"/sessions/{ANOTHER}/import",
            200,
        ),
        (
            "POST",
            "/search",
            {"query": "a", "limit": 1, "after": ANOTHER, "session_id": ANOTHER},
            "history",
            None,
            200,
        ),
        (
            "POST",
            "/assistants",
            {"id": "a", "name": "A", "instructions": "Be.", "model": None},
            "session",
            None,
            201,
        ),
        ("PATCH", "/assistants/a", {"description": ""}, "session", None, 200),
        ("DELETE", "/assistants/a", None, "session", None, 200),
    ],
)
async def test_a_command_is_forwarded_and_returns_the_bytes_of_the_service(
    gateway: Gateway,
    request: Any,
    method: Any,
    path: Any,
    body: Any,
    peer: Any,
    called: Any,
    status: Any,
) -> None:
    service = request.getfixturevalue(peer)
    service.answers.append(raw(BODY, status))
    async with gateway.request(method, f"/v1{path}", body=body) as answer:
        assert (answer.status, await answer.read()) == (status, BODY)
    [call] = service.calls
    assert (call.method, call.path, call.body) == (method, called or path, body)
    assert call.principal == ADA


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sessions", {}),
        ("/switch-assistant", {"assistant_id": "coder"}),
        (f"/turns/{ANOTHER}/cancel", {}),
        (f"/sessions/{ANOTHER}/fork", {}),
        (f"/sessions/{ANOTHER}/restore", {}),
        (f"/history/{ANOTHER}", {"messages": [{"role": "user", "content": "a"}]}),
        ("/assistants", {"id": "a", "name": "A", "instructions": "Be."}),
    ],
)
async def test_a_command_is_forwarded_with_its_idempotency_key(
    gateway: Gateway, session: FakeSessionService, path: Any, body: Any
) -> None:
    session.answers.append(raw(BODY))
    await gateway.post(f"/v1{path}", body, idempotency_key="k")
    assert session.calls[0].key == "k"


async def test_scopes_are_forwarded_to_the_service(
    gateway: Gateway, session: FakeSessionService
) -> None:
    session.answers.append(raw(BODY))
    bearer = token(scope="admin assistants:write")
    async with gateway.request("DELETE", "/v1/assistants/a", bearer=bearer) as answer:
        assert answer.status == 200
    assert session.calls[0].principal.scopes == {"admin", "assistants:write"}


async def test_a_session_can_be_started_without_a_body_and_with_any_content_type(
    gateway: Gateway, session: FakeSessionService
) -> None:
    for body, kind in ((None, None), (b"", None), (b"{}", "application/x-www-form-urlencoded")):
        session.answers.append(raw(BODY, 201))
        more = {"content_type": kind} if kind else {}
        async with gateway.request("POST", "/v1/sessions", body=body, **more) as answer:
            assert answer.status == 201
        assert session.calls[-1].body == {}
        assert session.calls[-1].key is None


async def test_an_id_is_forwarded_in_canonical_form(
    gateway: Gateway, session: FakeSessionService
) -> None:
    session.answers.append(raw(BODY, 201))
    await gateway.post("/v1/sessions", {"id": str(SESSION_ID).upper()})
    assert session.calls[0].body == {"id": str(SESSION_ID)}


@pytest.mark.parametrize(
    ("path", "query", "called"),
    [
        (
            f"/history/{SESSION_ID}",
            {},
            {"limit": "20", "order": "desc", "min_version": "1"},
        ),
        (
            f"/history/{SESSION_ID}",
            {"limit": "7", "order": "asc", "after": ANOTHER.upper(), "min_version": "1"},
            {"limit": "7", "order": "asc", "after": ANOTHER, "min_version": "1"},
        ),
        (
            f"/history/{SESSION_ID}",
            {"as_of": "2026-01-01T01:00:00+01:00", "leaf": ANOTHER, "branches": "all"},
            {
                "limit": "20",
                "order": "desc",
                "as_of": "2026-01-01T00:00:00.000000Z",
                "leaf": ANOTHER,
                "branches": "all",
                "min_version": "1",
            },
        ),
        (
            f"/history/{SESSION_ID}",
            {"as_of": "7", "before": ANOTHER},
            {
                "limit": "20",
                "order": "desc",
                "as_of": "7",
                "before": ANOTHER,
                "min_version": "1",
            },
        ),
        ("/sessions", {}, {"limit": "20", "order": "desc", "archived": "false"}),
        ("/usage", {}, {"limit": "20"}),
        (
            "/usage",
            {
                "start": "2026-11-01",
                "end": "2026-11-30",
                "group_by": "user",
                "session_id": ANOTHER.upper(),
                "assistant_id": "tutor",
                "model": "gpt-5 mini",
                "user": "grace",
                "limit": "100",
                "after": "ada",
            },
            {
                "start": "2026-11-01",
                "end": "2026-11-30",
                "group_by": "user",
                "session_id": ANOTHER,
                "assistant_id": "tutor",
                "model": "gpt-5 mini",
                "user": "grace",
                "limit": "100",
                "after": "ada",
            },
        ),
        (
            "/sessions",
            {
                "archived": "all",
                "assistant_id": "tutor",
                "updated_after": "2030-01-01T00:00:00.5Z",
                "updated_before": "2030-01-01t00:00:00z",
            },
            {
                "limit": "20",
                "order": "desc",
                "archived": "all",
                "assistant_id": "tutor",
                "updated_after": "2030-01-01T00:00:00.500000Z",
                "updated_before": "2030-01-01T00:00:00.000000Z",
            },
        ),
    ],
)
async def test_a_query_is_forwarded_with_its_defaults(
    gateway: Gateway, history: History, path: Any, query: Any, called: Any
) -> None:
    history.answers.append(raw(BODY))
    async with gateway.request("GET", f"/v1{path}?{urlencode(query)}") as answer:
        assert (answer.status, await answer.read()) == (200, BODY)
    [call] = history.calls
    assert (call.path, call.query) == (path, called)
