"""Every error response has the one shape and a request id, and quotes nothing of the request."""

from typing import Any

import httpx2 as httpx
import pytest
from core_fakes.observed import observe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.errors import (
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    ParleyError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    error_body,
)


def application(error: Exception | None = None) -> Starlette:
    app = Starlette()
    observe(app)
    install_error_handlers(app)

    async def fail(_: Request) -> Response:
        assert error is not None
        raise error

    async def succeed(_: Request) -> Response:
        return JSONResponse({})

    app.add_route("/raise", fail)
    app.add_route("/body", succeed, methods=["POST"])
    return app


async def call(
    method: str, path: str, error: Exception | None = None, **request: Any
) -> httpx.Response:
    transport = httpx.ASGITransport(application(error), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://parley") as client:
        return await client.request(method, path, **request)


@pytest.mark.parametrize(
    ("kind", "status", "headers"),
    [
        (InvalidRequest, 400, {}),
        (Unauthenticated, 401, {"www-authenticate": "Bearer"}),
        (Forbidden, 403, {}),
        (NotFound, 404, {}),
        (Conflict, 409, {"x-should-retry": "false"}),
        (TooLarge, 413, {}),
        (IdempotencyKeyReused, 422, {}),
        (Unavailable, 503, {"retry-after": "1"}),
    ],
)
async def test_each_error_has_its_status_shape_and_headers(
    kind: type[ParleyError], status: int, headers: dict[str, str]
) -> None:
    response = await call("GET", "/raise", kind("Why where.", param="where"))

    assert response.status_code == status
    assert response.json() == error_body(
        "Why where.", type=kind.type, code=kind.code, param="where"
    )
    assert headers.items() <= dict(response.headers).items()
    assert response.headers["x-request-id"]


async def test_an_error_may_override_its_code_and_add_headers() -> None:
    error = Conflict("Taken.", code="session_id_unavailable", headers={"x-more": "1"})

    response = await call("GET", "/raise", error)

    assert response.json()["error"]["code"] == "session_id_unavailable"
    assert response.headers["x-more"] == "1"
    assert response.headers["x-should-retry"] == "false"


async def test_unavailable_has_a_retry_after_header() -> None:
    response = await call("GET", "/raise", Unavailable("Later.", retry_after_seconds=7))

    assert response.headers["retry-after"] == "7"


def test_a_code_given_to_one_error_does_not_change_its_class() -> None:
    NotFound("Gone.", code="other")

    assert NotFound("Gone.").code == "not_found"
    assert issubclass(NotFound, ParleyError)


async def test_an_unknown_path_and_a_wrong_method_have_the_same_error_shape() -> None:
    unknown, wrong = await call("GET", "/nowhere"), await call("GET", "/body")

    assert unknown.status_code == 404
    assert unknown.json() == error_body("Not Found.", type="not_found_error", code="not_found")
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert "POST" in wrong.headers["allow"]


async def test_an_unexpected_error_reveals_only_the_request_id() -> None:
    response = await call("GET", "/raise", KeyError("secret"), headers={"x-request-id": "mine-1"})

    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert response.headers.get_list("x-request-id") == ["mine-1"]


@pytest.mark.parametrize("offered", ["a", "A-1_b.c:d", "x" * 128])
async def test_a_well_formed_request_id_is_used(offered: str) -> None:
    response = await call("GET", "/nowhere", headers={"x-request-id": offered})

    assert response.headers.get_list("x-request-id") == [offered]


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a\tb", "<script>", "a,b"])
async def test_a_malformed_request_id_is_replaced(offered: str) -> None:
    response = await call("GET", "/nowhere", headers={"x-request-id": offered})

    assert response.headers["x-request-id"] != offered
    assert len(response.headers["x-request-id"]) == 32


async def test_a_successful_response_has_a_request_id_too() -> None:
    response = await call("POST", "/body", json={"content": "x"})

    assert response.status_code == 200
    assert len(response.headers["x-request-id"]) == 32


def test_the_message_of_an_error_names_its_param() -> None:
    assert InvalidRequest("Unknown field.", param="top_k").message == "`top_k`: Unknown field."
    assert InvalidRequest("limit is too large.", param="limit").message == "limit is too large."
