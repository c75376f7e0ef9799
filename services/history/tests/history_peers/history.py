"""A running `serve` (in this process), and the gateway's part as its client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp

from history_peers.stories import ADA
from parley_core.auth.principal import Principal
from parley_history.app import create_app
from parley_history.change_feed.listener import ChangeFeed
from parley_history.settings import HistorySettings
from parley_testing.peers import SECRET, signed
from parley_testing.serving import serving


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
    movements: ChangeFeed

    async def read(self, session_id: UUID, person: Principal | None = ADA, **query: Any) -> Answer:
        return await self.ask(f"/history/{session_id}", person, **query)

    async def list(self, person: Principal = ADA, **query: Any) -> Answer:
        return await self.ask("/sessions", person, **query)

    async def ask(
        self,
        path: str,
        person: Principal | None = ADA,
        issuer: str = "gateway",
        audience: str = "history",
        **query: Any,
    ) -> Answer:
        headers = {"x-request-id": "req-7"}
        if person:
            token = signed(person, issuer=issuer, audience=audience)
            headers["authorization"] = f"Bearer {token}"
        return await self.get(path, headers, **query)

    async def search(self, query: str, person: Principal = ADA, **more: Any) -> Answer:
        body, headers = {"query": query} | more, authorized(person)
        async with self.http.post(f"{self.url}/search", json=body, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read(), await answer.json())

    async def file(self, path: str, person: Principal, **query: Any) -> Answer:
        """A body that need not be JSON."""
        headers = authorized(person)
        async with self.http.get(self.url + path, params=query, headers=headers) as answer:
            body = await answer.read()
            refused = json.loads(body) if answer.status >= 300 else None
            return Answer(answer.status, answer.headers, body, refused)

    async def numbers(self) -> dict[str, float]:
        """What `GET /metrics` tells, of metrics without labels."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            lines = [line.split(" ") for line in (await answer.text()).splitlines()]
        return {name: float(value) for name, value, *_ in lines if name != "#"}

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        params = {name: str(value) for name, value in query.items()}
        async with self.http.get(self.url + path, params=params, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read(), await answer.json())


def authorized(person: Principal) -> dict[str, str]:
    return {"authorization": f"Bearer {signed(person, issuer='gateway', audience='history')}"}


@asynccontextmanager
async def serve_history(**settings: Any) -> AsyncIterator[History]:
    quick = {
        "history_wait_seconds": 0.3,
        "history_poll_seconds": 0.02,
        "history_search_indexes": False,
    }
    app = create_app(HistorySettings(internal_secret=SECRET, **quick | settings))
    async with serving(app) as served, aiohttp.ClientSession() as http:
        yield History(served.url, http, app.state.movements)
