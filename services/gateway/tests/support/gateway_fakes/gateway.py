"""A gateway that runs in this process, and a client of its public API."""

import io
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from fastapi import FastAPI

from gateway_fakes.issuer import JWT_SECRET, token
from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Turn
from parley_gateway import app
from parley_gateway.settings import GatewaySettings
from parley_testing.event_stream import EventStream
from parley_testing.peers import key_settings
from parley_testing.serving import Server, client_session, serving

SESSION_ID = UUID("0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e")
_operations: list[tuple[str, re.Pattern[str], dict[str, Any]]] = []
QUICK = {
    "jwt": {"secret": JWT_SECRET},
    "stream": {"reconnect_deadline_seconds": 1},
    "drain_seconds": 1,
    "handover_seconds": 0,
}


@dataclass
class Client:
    url: str
    http: aiohttp.ClientSession

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        bearer: str | None = None,
        **headers: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("authorization", f"Bearer {token() if bearer is None else bearer}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        # aiohttp warns of large bodies as bytes.
        stream = io.BytesIO(data) if data else None
        async with self.http.request(
            method, self.url + path, data=stream, headers=sent
        ) as response:
            self.check_documented(method, path.partition("?")[0], response.status)
            yield response

    def check_documented(self, method: str, path: str, status: int) -> None:
        """Does nothing for a separate process, whose document is not available."""

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.request("GET", path, **more) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        async with self.request("POST", path, body=body, **more) as response:
            return response.status, await response.json()

    async def expect_error(
        self, method: str, path: str, **more: Any
    ) -> tuple[int, str, str | None]:
        """The status, code and param of an error response."""
        async with self.request(method, path, **more) as response:
            error = (await response.json())["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert response.headers["x-request-id"]
            return response.status, error["code"], error["param"]

    @asynccontextmanager
    async def stream(self, content: str = "Hello?", **headers: str) -> AsyncIterator[EventStream]:
        body = {"content": content, "stream": True}
        path = f"/v1/sessions/{SESSION_ID}/messages"
        async with self.request("POST", path, body=body, **headers) as response:
            yield EventStream(response, response.content.readany)

    async def submit(self, content: str = "Hello?", **headers: str) -> tuple[int, Any]:
        path = f"/v1/sessions/{SESSION_ID}/messages"
        return await self.post(path, {"content": content}, **headers)


@dataclass
class Gateway(Client):
    app: app.Gateway
    server: Server

    def check_documented(self, method: str, path: str, status: int) -> None:
        """Asserts that the OpenAPI document lists the status of the response."""
        for template, pattern, operations in _documented_operations(self.app.api):
            if pattern.fullmatch(path) and method.lower() in operations:
                assert str(status) in operations[method.lower()]["responses"], (template, status)


def _documented_operations(api: FastAPI) -> Sequence[tuple[str, re.Pattern[str], dict[str, Any]]]:
    """The operations by path; generated once, since every gateway has the same document."""
    if not _operations:
        for template, operations in api.openapi()["paths"].items():
            pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", template))
            _operations.append((template, pattern, operations))
    return _operations


@asynccontextmanager
async def serve_gateway(**settings: Any) -> AsyncIterator[Gateway]:
    """Nested settings given as dictionaries extend the defaults of QUICK."""
    given: dict[str, Any] = {**key_settings("gateway"), **QUICK}
    for name, value in settings.items():
        extends = isinstance(value, dict) and name != "jwt"
        given[name] = {**given.get(name, {}), **value} if extends else value
    gateway = app.create_gateway(GatewaySettings(**given))
    async with (
        serving(
            gateway.asgi, early_responder=gateway.early_pages, small_send_buffer=True
        ) as served,
        client_session() as http,
    ):
        yield Gateway(served.url, http, gateway, served.server)


def response_start(raw: bytes, turn: Turn) -> bytes:
    """The beginning of a turn's stream, with the reconnection time and signed ticket of `raw`."""
    retry, _, event = raw.partition(b"\n")
    assert re.fullmatch(rb"retry: [0-9]{3,4}", retry)
    data = event.partition(b"\n")[0].removeprefix(b"data: ")
    return retry + b"\n" + sse.started(turn, json.loads(data)["stream_url"])


def another_id() -> str:
    return str(uuid4())
