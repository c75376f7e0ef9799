"""A running inference process (in this one), and a client that reads its streams."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import uvicorn
from starlette.applications import Starlette

from inference_peers.eventually import eventually
from inference_peers.session import ADA, SECRET, StoredTurn
from parley_core.principal import InternalSecret, Principal, sign_principal
from parley_inference.app import create_app
from parley_inference.settings import InferenceSettings

KEY = "sk-never-to-be-seen"
QUICK = {
    "inference_drain_seconds": 1,
    "inference_drain_commit_seconds": 1,
    "inference_heartbeat_seconds": 0.02,
    "inference_follow_seconds": 0.02,
    "inference_commit_pause_seconds": 0.05,
    "upstream_retry_seconds": 0.01,
    "upstream_retry_most_seconds": 0.05,
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
                return None

    async def events(self) -> list[dict[str, Any]]:
        events = []
        while event := await self.event():
            events.append(event)
        return events

    async def until_text(self, length: int) -> str:
        text = ""
        while len(text) < length:
            event = await self.event()
            text += event.get("delta", "")
        return text


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("delta", "") for event in events)


def _parsed(block: bytes) -> dict[str, Any]:
    first, second = block.split(b"\n")
    data = json.loads(second.removeprefix(b"data: "))
    return {"id": first.removeprefix(b"id: ").decode(), **data}


@dataclass
class Client:
    """The gateway's part."""

    url: str
    http: aiohttp.ClientSession

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        principal: Principal | None = ADA,
        issuer: str = "gateway",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"x-request-id": "req-1"}
        if principal:
            token = sign_principal(
                principal,
                InternalSecret.parse(SECRET),
                issuer=issuer,
                audience="inference",
                now=datetime.now(UTC),
            )
            headers["authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.http.request(
            method, self.url + path, data=data, headers=headers
        ) as response:
            yield response

    @asynccontextmanager
    async def stream(
        self, turn: StoredTurn, after: int | None = None, **more: Any
    ) -> AsyncIterator[Stream]:
        body = {"session_id": str(turn.session_id), "after": after}
        async with self.request("POST", f"/turns/{turn.id}/stream", body=body, **more) as response:
            yield Stream(response)

    async def events(self, turn: StoredTurn, after: int | None = None) -> list[dict[str, Any]]:
        async with self.stream(turn, after) as stream:
            assert stream.response.status == 200, await stream.response.text()
            return await stream.events()

    async def error(self, turn_id: UUID, body: Any = None, **more: Any) -> tuple[int, str]:
        body = {"session_id": str(turn_id), "after": None} if body is None else body
        async with self.request("POST", f"/turns/{turn_id}/stream", body=body, **more) as answer:
            return answer.status, (await answer.json())["error"]["code"]


def client_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


@dataclass
class Inference(Client):
    app: Starlette
    server: "Server"


class Server(uvicorn.Server):
    """Exits at once when asked to, where uvicorn looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._asked = asyncio.Event()

    def stop(self) -> None:
        self._asked.set()

    async def main_loop(self) -> None:
        await self._asked.wait()


@asynccontextmanager
async def serve_inference(**settings: Any) -> AsyncIterator[Inference]:
    given = {"internal_secret": SECRET, "model": "demo", "OPENAI_API_KEY": KEY}
    app = create_app(InferenceSettings(**QUICK | given | settings))
    listening = socket.create_server(("127.0.0.1", 0))
    # Small, so that a client that does not read is felt soon.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
    server = Server(config)
    serving = asyncio.create_task(server._serve([listening]))
    try:
        async with client_session() as http:
            await eventually(lambda: server.started)
            url = "http://{}:{}".format(*listening.getsockname())
            yield Inference(url, http, app, server)
    finally:
        server.stop()
        await serving
