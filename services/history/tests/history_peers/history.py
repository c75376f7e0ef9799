"""A running `serve` (in this process), and the gateway's part as its client."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import uvicorn

from history_peers.eventually import eventually
from history_peers.session import SECRET
from history_peers.stories import ADA
from parley_core.principal import InternalSecret, Principal, sign_principal
from parley_history.app import create_app
from parley_history.movements import Movements
from parley_history.settings import HistorySettings


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def error(self) -> tuple[int, str, str | None]:
        """Its status, its code and the parameter that it names."""
        return self.status, self.json["error"]["code"], self.json["error"]["param"]

    @property
    def contents(self) -> list[str]:
        assert self.status == 200, self.body
        return [message["content"] for message in self.json["data"]]


@dataclass
class History:
    url: str
    http: aiohttp.ClientSession
    movements: Movements

    async def read(
        self,
        session_id: UUID,
        person: Principal | None = ADA,
        issuer: str = "gateway",
        audience: str = "history",
        **query: Any,
    ) -> Answer:
        headers = {"x-request-id": "req-7"}
        if person:
            secret = InternalSecret.parse(SECRET)
            now = datetime.now(UTC)
            token = sign_principal(person, secret, issuer=issuer, audience=audience, now=now)
            headers["authorization"] = f"Bearer {token}"
        return await self.get(f"/history/{session_id}", headers, **query)

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        params = {name: str(value) for name, value in query.items()}
        async with self.http.get(self.url + path, params=params, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read(), await answer.json())


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
async def serve_history(**settings: Any) -> AsyncIterator[History]:
    quick = {"history_wait_seconds": 0.3, "history_poll_seconds": 0.02}
    app = create_app(HistorySettings(internal_secret=SECRET, **quick | settings))
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
    server = Server(config)
    serving = asyncio.create_task(server._serve([listening]))
    try:
        async with aiohttp.ClientSession() as http:
            await eventually(lambda: server.started, within=15)
            url = "http://{}:{}".format(*listening.getsockname())
            yield History(url, http, app.state.movements)
    finally:
        server.stop()
        await serving
