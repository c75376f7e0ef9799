"""A call between services returns a response, raises its error, or Unavailable in time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2 as httpx
import pytest
from aiohttp import web
from core_fakes.service import (
    ADA,
    NAMES,
    TAKEN,
    is_unavailable,
    responding,
    service,
    verified_principal,
)
from fastapi import FastAPI

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import InvalidPrincipal
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.errors import ServiceError, Unavailable, error_body


async def test_a_call_carries_principal_request_id_body_and_query() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        seen["person"] = verified_principal(request)
        seen["body"] = await request.read()
        seen["request"] = request
        return web.Response()

    async with service(handler) as client:
        await client.call(
            "POST",
            "/sessions",
            **NAMES,
            body=b"{}",
            query={"after": "a b&c"},
            headers={"idempotency-key": "k", "authorization": "Bearer the person's own"},
        )

    request = seen["request"]
    assert seen["person"] == ADA
    assert seen["body"] == b"{}"
    assert (request.method, request.path, dict(request.query)) == (
        "POST",
        "/sessions",
        {"after": "a b&c"},
    )
    assert request.headers["x-request-id"] == "r-1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "k"
    assert request.headers["accept-encoding"] == "identity"


async def test_a_response_body_is_returned_undecoded() -> None:
    async with service(responding(b"{ }", status=201, headers={"x-more": "1"})) as client:
        response = await client.call("GET", "/", **NAMES)

    assert (response.status, response.body, response.headers["X-More"]) == (201, b"{ }", "1")


async def test_an_expired_token_is_replaced() -> None:
    times = iter([datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)])
    requests = []

    async def handler(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return web.Response()

    async with service(handler, clock=lambda: next(times)) as client:
        await client.call("GET", "/", **NAMES)
        await client.call("GET", "/", **NAMES)

    now = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=1)
    with pytest.raises(InvalidPrincipal, match="expired"):
        verified_principal(requests[0], now=now)
    assert verified_principal(requests[1], now=now) == ADA


async def test_the_service_principal_names_the_calling_service() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=verified_principal(request).user)

    async with service(handler) as client:
        response = await client.call(
            "POST", "/", principal=client.service_principal, request_id="r-1"
        )

    assert response.body == b"gateway"


async def test_an_error_response_keeps_its_status_and_retry_headers() -> None:
    headers = {"retry-after": "7", "x-should-retry": "false", "set-cookie": "a=b"}
    async with service(responding(json.dumps(TAKEN), status=409, headers=headers)) as client:
        with pytest.raises(ServiceError) as raised:
            await client.call("POST", "/", **NAMES)

    error = raised.value
    assert error_body(error.message, type=error.type, code=error.code, param=error.param) == TAKEN
    assert error.status == 409
    assert error.headers == {"retry-after": "7", "x-should-retry": "false"}


async def test_a_forwarded_error_is_answered_unchanged() -> None:
    gateway = FastAPI()
    install_error_handlers(gateway)
    transport = httpx.ASGITransport(gateway)
    refusing = responding(json.dumps(TAKEN), status=409, headers={"x-should-retry": "false"})

    @gateway.get("/")
    async def relays() -> None:
        await client.call("GET", "/", **NAMES)

    async with (
        service(refusing) as client,
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as person,
    ):
        response = await person.get("/")

    assert (response.status_code, response.json()) == (409, TAKEN)
    assert response.headers["x-should-retry"] == "false"


async def test_errors_of_different_types_do_not_share_state() -> None:
    answers = iter([(409, TAKEN), (404, error_body("Gone.", type="not_found_error", code="x"))])

    async def handler(request: web.Request) -> web.StreamResponse:
        status, body = next(answers)
        return web.json_response(body, status=status)

    async with service(handler) as client:
        with pytest.raises(ServiceError) as first:
            await client.call("GET", "/", **NAMES)
        with pytest.raises(ServiceError) as second:
            await client.call("GET", "/", **NAMES)

    assert (first.value.status, first.value.code) == (409, "turn_open")
    assert (second.value.status, second.value.code) == (404, "x")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Bad Gateway</html>",
        b"",
        b"\xff",
        b'{"error": "\xff"}',
        b"[]",
        b"null",
        b'{"error": "upstream"}',
        b'{"error": {"message": "no type"}}',
    ],
)
async def test_an_error_of_another_shape_is_unavailable(body: bytes) -> None:
    async with service(responding(body, status=502)) as client:
        with pytest.raises(Unavailable) as error:
            await client.call("GET", "/", **NAMES)

    assert is_unavailable(error)


async def test_a_redirect_is_not_followed() -> None:
    followed = []

    async def handler(request: web.Request) -> None:
        followed.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with service(handler) as client:
        with pytest.raises(Unavailable):
            await client.call("GET", "/here", **NAMES)

    assert followed == ["/here"]


@pytest.mark.parametrize(
    ("status", "code", "reported"),
    [
        (401, "unauthenticated", "session rejects the principal tokens of gateway"),
        (403, "service_not_allowed", "session does not let gateway make this call"),
    ],
)
async def test_a_refusal_of_the_calling_service_is_not_forwarded_to_the_user(
    caplog: pytest.LogCaptureFixture, status: int, code: str, reported: str
) -> None:
    body = error_body("No.", type="scripted", code=code)
    async with service(responding(json.dumps(body), status=status)) as client:
        with pytest.raises(Unavailable) as error:
            await client.call("GET", "/", **NAMES)

    assert is_unavailable(error)
    assert reported in caplog.text


async def test_a_pseudonym_is_passed_on_or_made_by_the_caller() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=verified_principal(request).pseudonym)

    received = Principal("acme", "eve", pseudonym="p-1")
    names: dict[str, Any] = {"principal": received, "request_id": "r-1"}
    async with service(handler) as client:
        assert (await client.call("GET", "/", **names)).body == b"p-1"
        assert (await client.call("GET", "/", **NAMES)).body == b""
    async with service(handler, pseudonym_of=lambda _: "p-2") as client:
        assert (await client.call("GET", "/", **NAMES)).body == b"p-2"
