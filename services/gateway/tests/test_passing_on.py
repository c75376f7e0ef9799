"""Calls that are checked, passed on, and answered with the bytes that a service gave."""

import socket

import pytest
from gateway_peers.gateway import SESSION_ID, another_id
from gateway_peers.inference import Stalls
from gateway_peers.peer import error, raw

from parley_core.principal import Principal

# Spaces where nobody who encodes it again would put them.
BODY = b'{ "object" :"anything",  "n": 1.0 }'
ADA = Principal("default", "ada")


@pytest.mark.parametrize(
    ("path", "peer", "called"),
    [
        ("/v1/assistants", "session", "/assistants"),
        (f"/v1/sessions/{SESSION_ID}", "session", f"/sessions/{SESSION_ID}"),
        (f"/v1/turns/{SESSION_ID}", "session", f"/turns/{SESSION_ID}"),
        ("/v1/models", "inference", "/models"),
        (f"/v1/history/{SESSION_ID}", "history", f"/history/{SESSION_ID}"),
    ],
)
async def test_a_read_is_answered_with_the_bytes_of_the_service(
    gateway, request, path, peer, called
):
    service = request.getfixturevalue(peer)
    service.answers.append(raw(BODY))
    async with gateway.request("GET", path, x_request_id="req-7") as answer:
        assert (answer.status, await answer.read()) == (200, BODY)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"] == "req-7"
    [call] = service.calls
    assert (call.method, call.path, call.body) == ("GET", called, None)
    assert (call.person, call.request_id) == (ADA, "req-7")


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sessions", {}),
        ("/sessions", {"id": str(SESSION_ID), "title": "", "metadata": {"a": "\x00"}}),
        ("/sessions", {"assistant_id": None}),
        ("/switch-assistant", {"assistant_id": "coder"}),
        (f"/turns/{SESSION_ID}/cancel", {}),
    ],
)
async def test_a_command_is_passed_on_with_its_key(gateway, session, path, body, status):
    if path != "/sessions":
        status = 200
    session.answers.append(raw(BODY, status))
    async with gateway.request("POST", f"/v1{path}", body=body, idempotency_key="k") as answer:
        assert (answer.status, await answer.read()) == (status, BODY)
    [call] = session.calls
    assert (call.method, call.path, call.body, call.key) == ("POST", path, body, "k")
    assert call.person == ADA


async def test_a_session_is_started_without_a_body_and_with_any_content_type(gateway, session):
    for body, kind in ((None, None), (b"", None), (b"{}", "application/x-www-form-urlencoded")):
        session.answers.append(raw(BODY, 201))
        more = {"content_type": kind} if kind else {}
        async with gateway.request("POST", "/v1/sessions", body=body, **more) as answer:
            assert answer.status == 201
        assert session.calls[-1].body == {}
        assert session.calls[-1].key is None


async def test_an_id_is_passed_on_in_its_one_form(gateway, session):
    session.answers.append(raw(BODY, 201))
    await gateway.post("/v1/sessions", {"id": str(SESSION_ID).upper()})
    assert session.calls[0].body == {"id": str(SESSION_ID)}


async def test_a_page_of_history_is_asked_for_as_the_client_did(gateway, history):
    after, before = another_id(), another_id()
    history.answers.extend((raw(BODY), raw(BODY)))
    query = f"limit=7&order=asc&after={after}&before={before.upper()}&min_version=1"
    await gateway.get(f"/v1/history/{SESSION_ID}?{query}")
    await gateway.get(f"/v1/history/{SESSION_ID}")
    asked, default = (call.query for call in history.calls)
    assert asked == {
        "limit": "7",
        "order": "asc",
        "after": after,
        "before": before,
        "min_version": "1",
    }
    assert default == {"limit": "20", "order": "desc"}


@pytest.mark.parametrize(
    ("method", "path", "peer", "status", "code"),
    [
        ("GET", f"/v1/sessions/{SESSION_ID}", "session", 404, "session_not_found"),
        ("POST", "/v1/sessions", "session", 409, "session_id_unavailable"),
        ("POST", "/v1/sessions", "session", 422, "idempotency_key_reused"),
        ("GET", f"/v1/history/{SESSION_ID}", "history", 503, "projection_behind"),
        ("GET", "/v1/models", "inference", 503, "inference_busy"),
    ],
)
async def test_an_error_of_a_service_is_passed_on_as_it_is(
    gateway, request, method, path, peer, status, code
):
    headers = {"retry_after": "3", "x_should_retry": "false"}
    request.getfixturevalue(peer).answers.append(error(status, code, **headers))
    async with gateway.request(method, path) as answer:
        assert answer.status == status
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("3", "false")
        assert (await answer.json())["error"] == {
            "message": "Scripted.",
            "type": "scripted",
            "param": "p",
            "code": code,
        }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "session_not_found"), (409, "turn_open"), (422, "idempotency_key_reused")],
)
async def test_a_message_that_session_refuses_is_an_ordinary_error(
    gateway, session, inference, stream, status, code
):
    session.answers.append(error(status, code))
    path, body = f"/v1/sessions/{SESSION_ID}/messages", {"content": "Hi", "stream": stream}
    assert await gateway.refusal("POST", path, body=body) == (status, code, "p")
    assert inference.calls == []


@pytest.mark.parametrize("service", ["session", "inference", "history"])
async def test_a_service_that_is_away_is_a_503_that_names_it(start, service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = "http://{}:{}".format(*taken.getsockname())
        gateway = await start(**{f"{service}_url": nowhere})
        paths = {
            "session": "/v1/assistants",
            "inference": "/v1/models",
            "history": f"/v1/history/{SESSION_ID}",
        }
        refused = await gateway.refusal("GET", paths[service])
        assert refused == (503, f"{service}_unavailable", None)
        assert await gateway.get("/readyz", bearer="") == (
            503,
            {"status": "unavailable", "missing": [service]},
        )


async def test_a_service_that_does_not_answer_is_given_up(start, inference):
    gateway = await start(gateway_call_seconds=0.05)
    inference.script(b"never a whole answer", Stalls())
    assert await gateway.refusal("GET", "/v1/models") == (503, "inference_unavailable", None)


async def test_it_lives_and_is_ready_for_anyone(gateway):
    assert await gateway.get("/healthz", bearer="") == (200, {"status": "ok"})
    assert await gateway.get("/readyz", bearer="") == (200, {"status": "ok"})
