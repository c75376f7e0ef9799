"""The inference service, running in this process, and a client in the role of the gateway."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
from starlette.applications import Starlette

from parley_core.auth.principal import Principal
from parley_inference.app import create_app
from parley_inference.settings import InferenceSettings
from parley_testing.event_stream import EventStream
from parley_testing.peers import key_settings, signed
from parley_testing.serving import Server, client_session, serving
from parley_testing.stored_turn import ADA, StoredTurn

KEY = "sk-never-to-be-seen"
SHORT_DELAYS = {
    "turns.heartbeat.INTERVAL_SECONDS": 0.02,
    "turns.follow.IDLE_SECONDS": 0.02,
    "session.retry_until_accepted.MAX_DELAY_SECONDS": 0.05,
    "streaming.buffer_writer.INTERVAL_SECONDS": 0.01,
    "streaming.buffer_poller.INTERVAL_SECONDS": 0.01,
    "streaming.turn_buffering.REDIS_CIRCUIT_OPEN_SECONDS": 0.05,
    "models.retry_policy.INITIAL_DELAY_SECONDS": 0.01,
    "models.retry_policy.MAX_DELAY_SECONDS": 0.05,
}
"""Constants of parley_inference, by their shorter values in tests."""


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
        principal: Principal | None = ADA,
        issuer: str = "gateway",
        traceparent: str | None = None,
        completion_id: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"x-request-id": "req-1"}
        if completion_id:
            headers["parley-completion-id"] = completion_id
        if traceparent:
            headers["traceparent"] = traceparent
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


Start = Callable[..., Awaitable[Inference]]
"""Starts an inference service with the given settings."""


@asynccontextmanager
async def serve_inference(**settings: Any) -> AsyncIterator[Inference]:
    defaults = {
        **key_settings("inference"),
        "model": "demo",
        "openai_api_key": KEY,
        "drain": {"seconds": 1, "commit_seconds": 1},
    }
    app = create_app(InferenceSettings(**defaults | settings))
    async with serving(app, small_send_buffer=True) as served, client_session() as http:
        yield Inference(served.url, http, app, served.server)
