"""Searches and exports are recorded before they are answered."""

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_testing.fake_service import error, raw
from parley_testing.session_service import FakeSessionService

READS = [
    ("POST", "/v1/search", {"query": "secret"}, {"action": "messages.searched"}),
    ("GET", "/v1/export", None, {"action": "sessions.exported"}),
    (
        "GET",
        f"/v1/sessions/{SESSION_ID}/export",
        None,
        {"action": "session.exported", "session_id": str(SESSION_ID)},
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "recorded"), READS)
async def test_a_read_is_recorded_for_its_caller_without_what_they_typed(
    gateway: Gateway,
    history: History,
    session: FakeSessionService,
    method: str,
    path: str,
    body: object,
    recorded: object,
) -> None:
    history.answers.append(raw(b"{}"))
    bearer = token(sub="ada", jti="t-1")
    async with gateway.request(method, path, body=body, bearer=bearer) as answer:
        assert answer.status == 200
        await answer.read()
    [call] = session.recorded_reads
    assert call.body == recorded
    assert call.principal.user == "ada"
    assert call.request_id == answer.headers["x-request-id"]
    assert call.headers["x-client-address"] == "127.0.0.1"
    assert call.headers["x-token-id"] == "t-1"


@pytest.mark.parametrize(("method", "path", "body", "_"), READS)
async def test_a_read_that_cannot_be_recorded_is_unavailable(
    gateway: Gateway,
    history: History,
    session: FakeSessionService,
    method: str,
    path: str,
    body: object,
    _: object,
) -> None:
    session.errors["reads"] = 503, "event_store_unavailable"
    history.answers.append(raw(b"{}"))
    answered = await gateway.expect_error(method, path, body=body)
    assert answered[:2] == (503, "event_store_unavailable")


@pytest.mark.parametrize(("method", "path", "body", "_"), READS)
async def test_a_read_that_history_refuses_is_not_recorded(
    gateway: Gateway,
    history: History,
    session: FakeSessionService,
    method: str,
    path: str,
    body: object,
    _: object,
) -> None:
    history.answers.append(error(503, "history_busy"))
    assert (await gateway.expect_error(method, path, body=body))[0] == 503
    assert session.recorded_reads == []
