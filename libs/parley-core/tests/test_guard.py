"""A service's routes answer only another service, in the name of the person it says."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx2 as httpx
import pytest
from fastapi import Depends, FastAPI, Request

from parley_core.auth.principal import InternalSecret, Principal, sign_principal
from parley_core.http.error_handlers import RequestIdMiddleware, install_error_handlers
from parley_core.http.service_auth import ServiceAuthenticator, request_id

SECRET = InternalSecret(b"s" * 32)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Principal("acme", "ada", frozenset({"admin"}))


def application(**options):
    app = FastAPI()
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    guard = ServiceAuthenticator(
        SECRET, audience="session", issuers=frozenset({"gateway", "inference"}), **options
    )

    @app.get("/person")
    async def person(principal: Annotated[Principal, Depends(guard)]):
        return {
            "tenant": principal.tenant,
            "user": principal.user,
            "scopes": sorted(principal.scopes),
        }

    @app.get("/request-id")
    async def passes_on(request: Request):
        return request_id(request)

    return app


async def get(path, app=None, **headers):
    transport = httpx.ASGITransport(app or application(clock=lambda: NOW))
    async with httpx.AsyncClient(transport=transport, base_url="http://session") as client:
        return await client.get(path, headers=headers)


def bearer(secret=SECRET, **changes):
    arguments = {"issuer": "gateway", "audience": "session", "now": NOW} | changes
    return f"Bearer {sign_principal(ADA, secret, **arguments)}"


@pytest.mark.parametrize("issuer", ["gateway", "inference"])
async def test_a_service_that_may_call_speaks_for_the_person(issuer):
    answer = await get("/person", authorization=bearer(issuer=issuer))

    assert answer.json() == {"tenant": "acme", "user": "ada", "scopes": ["admin"]}


async def test_the_scheme_may_be_written_in_any_case():
    answer = await get("/person", authorization=bearer().replace("Bearer", "bEARER"))

    assert answer.status_code == 200


async def test_the_clock_is_the_real_one_unless_given():
    app = application()

    assert (await get("/person", app, authorization=bearer())).status_code == 401
    now = bearer(now=datetime.now(UTC))
    assert (await get("/person", app, authorization=now)).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_a_call_without_a_token_is_refused(header):
    headers = {} if header is None else {"authorization": header}

    answer = await get("/person", **headers)

    assert answer.status_code == 401
    assert answer.json()["error"] == {
        "message": "A principal token is required.",
        "type": "authentication_error",
        "param": None,
        "code": "unauthenticated",
    }
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audience": "history"}, "InvalidAudienceError"),
        ({"issuer": "history"}, "issuer not allowed"),
        ({"now": NOW - timedelta(seconds=60)}, "expired"),
        ({"secret": InternalSecret(b"x" * 32)}, "InvalidSignatureError"),
    ],
)
async def test_a_token_that_proves_nothing_here_is_refused_with_the_reason(changes, reason):
    answer = await get("/person", authorization=bearer(**changes))

    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == f"Invalid principal token: {reason}."


async def test_garbage_is_refused_without_being_repeated():
    answer = await get("/person", authorization="Bearer hunter2")

    assert answer.status_code == 401
    assert "hunter2" not in answer.text


async def test_the_request_id_to_pass_on_is_the_one_that_is_answered():
    answer = await get("/request-id", **{"x-request-id": "r-1"})

    assert answer.json() == answer.headers["x-request-id"] == "r-1"
