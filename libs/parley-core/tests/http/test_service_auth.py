"""Internal routes accept only calls with the principal token of an allowed service."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx2
import httpx2 as httpx
import pytest
from core_fakes.observed import observe
from fastapi import Depends, FastAPI, Request

from parley_core.auth.principal import InternalSecret, Principal, sign_principal
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.service_auth import ServiceAuthenticator, request_id

SECRET = InternalSecret(b"s" * 32)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Principal("acme", "ada", frozenset({"admin"}))


def application(**options: Any) -> FastAPI:
    app = FastAPI()
    observe(app)
    install_error_handlers(app)
    authenticate = ServiceAuthenticator(
        SECRET, audience="session", issuers=frozenset({"gateway", "inference"}), **options
    )

    @app.get("/person")
    async def person(principal: Annotated[Principal, Depends(authenticate)]) -> dict[str, Any]:
        return {
            "tenant": principal.tenant,
            "user": principal.user,
            "scopes": sorted(principal.scopes),
        }

    @app.get("/request-id")
    async def passes_on(request: Request) -> str:
        return request_id(request)

    return app


async def get(path: str, app: FastAPI | None = None, **headers: Any) -> httpx2.Response:
    transport = httpx.ASGITransport(app or application(clock=lambda: NOW))
    async with httpx.AsyncClient(transport=transport, base_url="http://session") as client:
        return await client.get(path, headers=headers)


def bearer(secret: InternalSecret = SECRET, **changes: Any) -> str:
    arguments: dict[str, Any] = {"issuer": "gateway", "audience": "session", "now": NOW} | changes
    return f"Bearer {sign_principal(ADA, secret, **arguments)}"


@pytest.mark.parametrize("issuer", ["gateway", "inference"])
async def test_an_allowed_issuer_calls_on_behalf_of_the_principal(issuer: str) -> None:
    response = await get("/person", authorization=bearer(issuer=issuer))

    assert response.json() == {"tenant": "acme", "user": "ada", "scopes": ["admin"]}


async def test_the_authorization_scheme_is_case_insensitive() -> None:
    response = await get("/person", authorization=bearer().replace("Bearer", "bEARER"))

    assert response.status_code == 200


async def test_the_default_clock_is_the_system_clock() -> None:
    app = application()

    assert (await get("/person", app, authorization=bearer())).status_code == 401
    now = bearer(now=datetime.now(UTC))
    assert (await get("/person", app, authorization=now)).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_a_call_without_a_token_is_unauthenticated(header: str | None) -> None:
    headers: dict[str, Any] = {} if header is None else {"authorization": header}

    response = await get("/person", **headers)

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
        ({"issuer": "history"}, "issuer not allowed"),
        ({"now": NOW - timedelta(seconds=60)}, "expired"),
        ({"secret": InternalSecret(b"x" * 32)}, "InvalidSignatureError"),
    ],
)
async def test_an_invalid_token_is_unauthenticated_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    response = await get("/person", authorization=bearer(**changes))

    assert response.status_code == 401
    assert response.json()["error"]["message"] == f"Invalid principal token: {reason}."


async def test_garbage_is_rejected_without_being_repeated() -> None:
    response = await get("/person", authorization="Bearer hunter2")

    assert response.status_code == 401
    assert "hunter2" not in response.text


async def test_the_request_id_equals_the_one_in_the_response() -> None:
    response = await get("/request-id", **dict[str, Any]({"x-request-id": "r-1"}))

    assert response.json() == response.headers["x-request-id"] == "r-1"
