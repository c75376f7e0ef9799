"""Errors of the services, and services that are unavailable."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference

from parley_testing.fake_service import error
from parley_testing.session_service import FakeSessionService


@pytest.mark.parametrize(
    ("method", "path", "peer", "status", "code"),
    [
        ("GET", f"/v1/sessions/{SESSION_ID}", "session", 404, "session_not_found"),
        ("POST", "/v1/sessions", "session", 409, "session_id_unavailable"),
        ("POST", "/v1/sessions", "session", 422, "idempotency_key_reused"),
        ("GET", f"/v1/history/{SESSION_ID}", "history", 503, "history_busy"),
        ("GET", "/v1/models", "inference", 503, "inference_busy"),
    ],
)
async def test_an_error_of_a_service_is_returned_unchanged(
    gateway: Gateway, request: Any, method: Any, path: Any, peer: Any, status: Any, code: Any
) -> None:
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
async def test_a_message_rejected_by_session_is_an_ordinary_error(
    gateway: Gateway,
    session: FakeSessionService,
    inference: Inference,
    stream: Any,
    status: Any,
    code: Any,
) -> None:
    session.answers.append(error(status, code))
    path, body = f"/v1/sessions/{SESSION_ID}/messages", {"content": "Hi", "stream": stream}
    assert await gateway.expect_error("POST", path, body=body) == (status, code, "p")
    assert inference.calls == []


@pytest.mark.parametrize("service", ["session", "inference", "history"])
async def test_an_unavailable_service_is_a_503_that_names_it(
    start: Callable[..., Awaitable[Gateway]], service: Any
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = "http://{}:{}".format(*taken.getsockname())
        gateway = await start(**{f"{service}_url": nowhere})
        paths = {
            "session": "/v1/assistants",
            "inference": "/v1/models",
            "history": f"/v1/history/{SESSION_ID}",
        }
        refused = await gateway.expect_error("GET", paths[service])
        assert refused == (503, f"{service}_unavailable", None)
        # Other requests can be served, and another gateway could not serve these either. But one
        # that starts must know what is revoked.
        starting = (503, {"status": "starting", "missing": ["session"]})
        expected = starting if service == "session" else (200, {"status": "ok"})
        assert await gateway.get("/readyz", bearer="") == expected


async def test_a_call_to_an_unresponsive_service_times_out(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(upstream_timeout_seconds=0.05)
    inference.stuck = asyncio.Event()
    assert await gateway.expect_error("GET", "/v1/models") == (503, "inference_unavailable", None)


async def test_health_routes_need_no_token(gateway: Gateway) -> None:
    assert await gateway.get("/livez", bearer="") == (200, {"status": "ok"})
    assert await gateway.get("/readyz", bearer="") == (200, {"status": "ok"})
