"""A running inference process (in this one), and a client that reads its streams."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
from starlette.applications import Starlette

from inference_peers.session import ADA, StoredTurn
from parley_core.auth.principal import Principal
from parley_inference.app import create_app
from parley_inference.settings import InferenceSettings
from parley_testing.event_stream import EventStream
from parley_testing.peers import SECRET, signed
from parley_testing.serving import Server, client_session, serving

KEY = "sk-never-to-be-seen"
QUICK = {
    "inference_drain_seconds": 1,
    "inference_drain_commit_seconds": 1,
    "inference_heartbeat_seconds": 0.02,
    "inference_follow_seconds": 0.02,
    "inference_commit_pause_seconds": 0.05,
    "inference_buffer_flush_seconds": 0.01,
    "inference_buffer_poll_seconds": 0.01,
    "inference_buffer_pause_seconds": 0.05,
    "upstream_retry_seconds": 0.01,
    "upstream_retry_most_seconds": 0.05,
}


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
            token = signed(principal, issuer=issuer, audience="inference")
            headers["authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.http.request(
            method, self.url + path, data=data, headers=headers
        ) as response:
            yield response

    @asynccontextmanager
    async def stream(
        self, turn: StoredTurn, after: int = 0, **more: Any
    ) -> AsyncIterator[EventStream]:
        body = {"session_id": str(turn.session_id), "after": after}
        async with self.request("POST", f"/turns/{turn.id}/stream", body=body, **more) as response:
            yield EventStream(response, response.content.readany)

    async def events(self, turn: StoredTurn, after: int = 0) -> list[dict[str, Any]]:
        async with self.stream(turn, after) as stream:
            assert stream.response.status == 200, await stream.response.text()
            return await stream.events()

    async def error(self, turn_id: UUID, body: Any = None, **more: Any) -> tuple[int, str]:
        body = {"session_id": str(turn_id), "after": 0} if body is None else body
        async with self.request("POST", f"/turns/{turn_id}/stream", body=body, **more) as answer:
            return answer.status, (await answer.json())["error"]["code"]


@dataclass
class Inference(Client):
    app: Starlette
    server: Server


@asynccontextmanager
async def serve_inference(**settings: Any) -> AsyncIterator[Inference]:
    given = {"internal_secret": SECRET, "model": "demo", "OPENAI_API_KEY": KEY}
    app = create_app(InferenceSettings(**QUICK | given | settings))
    async with serving(app, small_send_buffer=True) as served, client_session() as http:
        yield Inference(served.url, http, app, served.server)
