"""A running gateway (in this process), and a client of its public API."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import uvicorn
from fastapi import FastAPI

from gateway_peers.eventually import eventually
from gateway_peers.issuer import token
from gateway_peers.peer import SECRET
from parley_core import sse
from parley_core.shapes import Turn
from parley_gateway.app import create_app
from parley_gateway.openapi import document
from parley_gateway.settings import GatewaySettings

SESSION_ID = UUID("0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e")
QUICK = {
    "gateway_reattach_seconds": 0.3,
    "gateway_reattach_pause_seconds": 0.005,
    "gateway_reattach_most_pause_seconds": 0.02,
    "gateway_drain_seconds": 1,
}


class Stream:
    """The events of one answer, read as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.raw = b""
        self._unread = b""

    async def event(self) -> dict[str, Any] | None:
        """The next event's data, with its `id`; None at the end. Comments are left out."""
        while True:
            block, found, rest = self._unread.partition(b"\n\n")
            if found:
                self._unread = rest
                if not block.startswith(b":"):
                    return _parsed(block)
            elif received := await self.response.content.readany():
                self.raw += received
                self._unread += received
            else:
                assert not self._unread, "the answer ended inside an event"
                return None

    async def events(self) -> list[dict[str, Any]]:
        events = []
        while event := await self.event():
            events.append(event)
        return events

    async def until_text(self, length: int) -> str:
        text = ""
        while len(text) < length:
            text += (await self.event()).get("delta", "")
        return text


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("delta", "") for event in events)


def started(turn: Turn) -> bytes:
    return sse.started(
        session_id=turn.session_id,
        turn_id=turn.id,
        message_id=turn.message.id,
        reply_id=turn.reply_id,
        version=3,
    )


def _parsed(block: bytes) -> dict[str, Any]:
    first, second = block.split(b"\n")
    data = json.loads(second.removeprefix(b"data: "))
    return {"id": first.removeprefix(b"id: ").decode(), **data}


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
        """Also makes sure that the answer's status is one that the OpenAPI document names."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("authorization", f"Bearer {token() if bearer is None else bearer}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.http.request(method, self.url + path, data=data, headers=sent) as response:
            _check_documented(method, path.partition("?")[0], response.status)
            yield response

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.request("GET", path, **more) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        async with self.request("POST", path, body=body, **more) as response:
            return response.status, await response.json()

    async def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str, str | None]:
        """Status, code and param of an error."""
        async with self.request(method, path, **more) as response:
            error = (await response.json())["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert response.headers["x-request-id"]
            return response.status, error["code"], error["param"]

    @asynccontextmanager
    async def stream(self, content: str = "Hello?", **headers: str) -> AsyncIterator[Stream]:
        body = {"content": content, "stream": True}
        path = f"/v1/sessions/{SESSION_ID}/messages"
        async with self.request("POST", path, body=body, **headers) as response:
            yield Stream(response)

    async def submit(self, content: str = "Hello?", **headers: str) -> tuple[int, Any]:
        path = f"/v1/sessions/{SESSION_ID}/messages"
        return await self.post(path, {"content": content}, **headers)


def _check_documented(method: str, path: str, status: int) -> None:
    for template, operations in document()["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in operations:
            assert str(status) in operations[method.lower()]["responses"], (template, status)


def client_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


@dataclass
class Gateway(Client):
    app: FastAPI
    server: "Server"


class Server(uvicorn.Server):
    """Exits at once when asked to, where uvicorn looks ten times a second, and then pauses."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._asked = asyncio.Event()

    def stop(self) -> None:
        self._asked.set()

    async def main_loop(self) -> None:
        await self._asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections:
            await super().shutdown(sockets)
            return
        for listening in self.servers:
            listening.close()
        await self.lifespan.shutdown()


@asynccontextmanager
async def serve_gateway(**settings: Any) -> AsyncIterator[Gateway]:
    app = create_app(GatewaySettings(**QUICK | {"internal_secret": SECRET} | settings))
    listening = socket.create_server(("127.0.0.1", 0))
    # Small, so that a client that does not read is felt soon.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server._serve([listening]))
    try:
        async with client_session() as http:
            await eventually(lambda: server.started)
            url = "http://{}:{}".format(*listening.getsockname())
            yield Gateway(url, http, app, server)
    finally:
        with suppress(TimeoutError):
            await eventually(lambda: not server.server_state.connections, within=0.2)
        server.stop()
        await serving


def another_id() -> str:
    return str(uuid4())
