"""A validation error names the field and quotes no value of the request."""

from typing import Any, Literal
from uuid import UUID

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, field_validator

from parley_gateway.http.request_errors import install_request_error_handlers


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
    def quote_the_input(cls, value: str) -> str:
        if value.startswith("secret"):
            raise ValueError(f"cannot take {value}")
        return value


def application() -> FastAPI:
    app = FastAPI()
    install_request_error_handlers(app)

    @app.post("/body")
    async def accept(body: Body) -> dict[str, str]:
        return {}

    return app


async def post(**request: Any) -> httpx.Response:
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://parley") as client:
        return await client.post("/body", **request)


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
async def test_an_invalid_body_names_the_field_and_quotes_no_value(body: Any, param: str) -> None:
    response = await post(json=body)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert "secret" not in response.text


async def test_a_body_that_is_not_json_has_no_param() -> None:
    response = await post(content=b'{"secret', headers={"content-type": "application/json"})

    assert response.status_code == 400
    assert response.json()["error"]["param"] is None
    assert "secret" not in response.text


async def test_a_key_with_half_a_surrogate_pair_still_gets_a_response() -> None:
    response = await post(
        content=b'{"content": "x", "metadata": {"\\ud800": 1}}',
        headers={"content-type": "application/json"},
    )

    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("metadata.")
