"""Internal routes accept only calls with the principal token of a service that may make them."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import httpx2 as httpx
import pytest
from core_fakes.observed import observe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_core.auth.principal import Principal
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.service_auth import ServiceAuthenticator, caller_of
from parley_testing.peers import service_keys, signed, signing_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Principal("acme", "ada", frozenset({"admin"}))
ALLOWED = {
    "GET /person": frozenset(("gateway", "inference")),
    "POST /person": frozenset(("inference",)),
}


async def person(request: Request) -> Response:
    caller = caller_of(request)
    principal = caller.principal
    return JSONResponse(
        {
            "tenant": principal.tenant,
            "user": principal.user,
            "scopes": sorted(principal.scopes),
            "request_id": caller.request_id,
        }
    )


def application(**options: Any) -> Starlette:
    authenticator = ServiceAuthenticator(service_keys(), ALLOWED, service="session", **options)
    routes = [Route("/person", person), Route("/person", person, methods=["POST"])]
    app = Starlette(routes=authenticator.authenticated(routes))
    observe(app)
    install_error_handlers(app)
    return app


async def call(
    authorization: str | None, method: str = "GET", app: Starlette | None = None
) -> httpx2.Response:
    transport = httpx.ASGITransport(app or application(clock=lambda: NOW))
    headers = {"x-request-id": "r-1"}
    headers |= {} if authorization is None else {"authorization": authorization}
    async with httpx.AsyncClient(transport=transport, base_url="http://session") as client:
        return await client.request(method, "/person", headers=headers)


def bearer(**changes: Any) -> str:
    arguments: dict[str, Any] = {"audience": "session", "now": NOW} | changes
    return f"Bearer {signed(ADA, **arguments)}"


@pytest.mark.parametrize("service", ["gateway", "inference"])
async def test_an_allowed_service_calls_on_behalf_of_the_principal(service: str) -> None:
    response = await call(bearer(issuer=service))

    expected = {"tenant": "acme", "user": "ada", "scopes": ["admin"], "request_id": "r-1"}
    assert response.json() == expected
    assert response.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize(
    ("method", "service"),
    [("GET", "history"), ("HEAD", "history"), ("GET", "cli"), ("POST", "gateway")],
)
async def test_another_service_is_forbidden_to_call_and_named_in_the_log(
    method: str, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    response = await call(bearer(issuer=service), method)

    assert response.status_code == 403
    if method != "HEAD":
        assert response.json()["error"]["code"] == "service_not_allowed"
    [line] = [each.fields for each in caplog.records if each.name == "parley.access"]  # type: ignore[attr-defined]
    assert (line["calling_service"], line["code"]) == (service, "service_not_allowed")


def test_a_route_without_an_entry_ends_the_start() -> None:
    authenticator = ServiceAuthenticator(service_keys(), ALLOWED, service="session")
    with pytest.raises(KeyError, match="PATCH /person"):
        authenticator.authenticated([Route("/person", person, methods=["PATCH"])])


async def test_the_authorization_scheme_is_case_insensitive() -> None:
    response = await call(bearer().replace("Bearer", "bEARER"))

    assert response.status_code == 200


async def test_the_default_clock_is_the_system_clock() -> None:
    app = application()

    assert (await call(bearer(), app=app)).status_code == 401
    assert (await call(bearer(now=datetime.now(UTC)), app=app)).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_a_call_without_a_token_is_unauthenticated(header: str | None) -> None:
    response = await call(header)

    assert response.status_code == 401
    assert response.json()["error"] == {
        "message": "A principal token is required.",
        "type": "authentication_error",
        "param": None,
        "code": "unauthenticated",
    }
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audience": "history"}, "InvalidAudienceError"),
        ({"now": NOW - timedelta(seconds=60)}, "expired"),
        ({"key": signing_key("gateway", 2)}, "UnknownKeyError"),
    ],
)
async def test_an_invalid_token_is_unauthenticated_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    response = await call(bearer(**changes))

    assert response.status_code == 401
    assert response.json()["error"]["message"] == f"Invalid principal token: {reason}."


async def test_garbage_is_rejected_without_being_repeated() -> None:
    response = await call("Bearer hunter2")

    assert response.status_code == 401
    assert "hunter2" not in json.dumps(response.json())
