"""Every error answer has one shape and a request id, and repeats nothing that was sent."""

from typing import Literal
from uuid import UUID

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, field_validator

from parley_core.http.errors import (
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    ParleyError,
    RequestIdMiddleware,
    TooLarge,
    Unauthenticated,
    Unavailable,
    error_body,
    install_error_handlers,
)


class Inner(BaseModel):
    role: Literal["user"] = "user"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    content: str
    id: UUID | None = None
    messages: list[Inner] = []
    metadata: dict[str, str] = {}

    @field_validator("content")
    @classmethod
    def quotes_its_input(cls, value: str) -> str:
        if value.startswith("secret"):
            raise ValueError(f"cannot take {value}")
        return value


def application(error: Exception | None = None) -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)

    @app.get("/raise")
    async def raises():
        raise error

    @app.post("/body")
    async def takes(body: Body):
        return {}

    return app


async def call(method, path, error=None, **request):
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
async def test_each_kind_answers_with_its_status_shape_and_headers(kind, status, headers):
    answer = await call("GET", "/raise", kind("Why.", param="where"))

    assert answer.status_code == status
    assert answer.json() == error_body("Why.", type=kind.type, code=kind.code, param="where")
    assert headers.items() <= dict(answer.headers).items()
    assert answer.headers["x-request-id"]


async def test_an_error_may_have_a_code_and_headers_of_its_own():
    error = Conflict("Taken.", code="session_id_unavailable", headers={"x-more": "1"})

    answer = await call("GET", "/raise", error)

    assert answer.json()["error"]["code"] == "session_id_unavailable"
    assert answer.headers["x-more"] == "1"
    assert answer.headers["x-should-retry"] == "false"


async def test_unavailable_says_when_to_come_back():
    answer = await call("GET", "/raise", Unavailable("Later.", retry_after_seconds=7))

    assert answer.headers["retry-after"] == "7"


def test_a_code_given_to_one_error_does_not_stick_to_its_kind():
    NotFound("Gone.", code="other")

    assert NotFound("Gone.").code == "not_found"
    assert issubclass(NotFound, ParleyError)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content"),
        ({"content": 5}, "content"),
        ({"content": "x", "id": "secret-id"}, "id"),
        ({"content": "x", "extra": "secret"}, "extra"),
        ({"content": "x", "messages": [{}, {"role": "secret"}]}, "messages.1.role"),
        ({"content": "secret text"}, "content"),
        (["secret"], "body"),
    ],
)
async def test_an_invalid_body_names_the_place_and_repeats_no_value(body, param):
    answer = await call("POST", "/body", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "secret" not in answer.text


async def test_a_body_that_is_no_json_has_no_param():
    answer = await call(
        "POST", "/body", content=b'{"secret', headers={"content-type": "application/json"}
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] is None
    assert "secret" not in answer.text


async def test_a_key_with_half_a_surrogate_pair_is_still_an_answer():
    answer = await call(
        "POST",
        "/body",
        content=b'{"content": "x", "metadata": {"\\ud800": 1}}',
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("metadata.")


async def test_an_unknown_address_and_a_wrong_method_answer_in_the_same_shape():
    unknown, wrong = await call("GET", "/nowhere"), await call("GET", "/body")

    assert unknown.status_code == 404
    assert unknown.json() == error_body("Not Found.", type="not_found_error", code="not_found")
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"


async def test_a_surprise_tells_nothing_but_the_request_id():
    answer = await call("GET", "/raise", KeyError("secret"), headers={"x-request-id": "mine-1"})

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert answer.headers.get_list("x-request-id") == ["mine-1"]


@pytest.mark.parametrize("offered", ["a", "A-1_b.c:d", "x" * 128])
async def test_a_sane_request_id_is_kept(offered):
    answer = await call("GET", "/nowhere", headers={"x-request-id": offered})

    assert answer.headers.get_list("x-request-id") == [offered]


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a\tb", "<script>", "a,b"])
async def test_any_other_request_id_is_replaced(offered):
    answer = await call("GET", "/nowhere", headers={"x-request-id": offered})

    assert answer.headers["x-request-id"] != offered
    assert len(answer.headers["x-request-id"]) == 32


async def test_an_answer_without_an_error_has_a_request_id_too():
    answer = await call("POST", "/body", json={"content": "x"})

    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 32
