"""A `serve` application within the test process, and a client that calls it as the gateway does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp

from history_testing.read_model import database_settings
from history_testing.stories import ADA
from parley_core.auth.principal import Principal
from parley_history.app import create_app
from parley_history.change_feed.listener import ChangeFeed
from parley_history.change_feed.projection_wait import ProjectionWaitSettings
from parley_history.queries.export.export_sessions import ExportSettings
from parley_history.queries.search.indexer import SearchSettings
from parley_history.queries.search.search_messages import SearchLimitSettings
from parley_history.settings import ServeSettings
from parley_testing.peers import key_settings, signed
from parley_testing.serving import serving


@dataclass
class HistoryResponse:
    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def error(self) -> tuple[int, str, str | None]:
        """The status, the code and the parameter of an error."""
        return self.status, self.json["error"]["code"], self.json["error"]["param"]

    @property
    def contents(self) -> list[str]:
        assert self.status == 200, self.body
        return [message["content"] for message in self.json["data"]]


@dataclass
class HistoryClient:
    url: str
    http: aiohttp.ClientSession
    change_feed: ChangeFeed

    async def read(
        self, session_id: UUID, person: Principal | None = ADA, **query: Any
    ) -> HistoryResponse:
        return await self.call(f"/history/{session_id}", person, **query)

    async def list(self, person: Principal = ADA, **query: Any) -> HistoryResponse:
        return await self.call("/sessions", person, **query)

    async def call(
        self,
        path: str,
        person: Principal | None = ADA,
        issuer: str = "gateway",
        audience: str = "history",
        **query: Any,
    ) -> HistoryResponse:
        headers = {"x-request-id": "req-7"}
        if person:
            token = signed(person, issuer=issuer, audience=audience)
            headers["authorization"] = f"Bearer {token}"
        return await self.get(path, headers, **query)

    async def search(self, query: str, person: Principal = ADA, **more: Any) -> HistoryResponse:
        body, headers = {"query": query} | more, authorization(person)
        url = f"{self.url}/search"
        async with self.http.post(url, json=body, headers=headers) as response:
            return await _json_response(response)

    async def download(self, path: str, person: Principal, **query: Any) -> HistoryResponse:
        """Get a body that need not be JSON."""
        headers = authorization(person)
        async with self.http.get(self.url + path, params=query, headers=headers) as response:
            body = await response.read()
            error = json.loads(body) if response.status >= 300 else None
            return HistoryResponse(response.status, response.headers, body, error)

    async def metrics(self) -> dict[str, float]:
        """Return the samples of `GET /metrics` by name and labels, as they are written."""
        async with self.http.get(f"{self.url}/metrics") as response:
            lines = [line.split(" ") for line in (await response.text()).splitlines()]
        return {name: float(value) for name, value, *_ in lines if name != "#"}

    async def get(
        self, path: str, headers: dict[str, str] | None = None, **query: Any
    ) -> HistoryResponse:
        params = {name: str(value) for name, value in query.items()}
        async with self.http.get(self.url + path, params=params, headers=headers) as response:
            return await _json_response(response)


async def _json_response(response: aiohttp.ClientResponse) -> HistoryResponse:
    body = await response.read()
    return HistoryResponse(response.status, response.headers, body, json.loads(body))


def authorization(person: Principal) -> dict[str, str]:
    return {"authorization": f"Bearer {signed(person, issuer='gateway', audience='history')}"}


@asynccontextmanager
async def serve_history(
    dsn: str,
    session_url: str,
    *,
    pooler_url: str | None = None,
    wait_seconds: float = 0.3,
    max_waiters: int = 500,
    max_exports: int = 20,
    max_searches: int = 50,
    max_person_share: float = 1,
    indexer_enabled: bool = False,
) -> AsyncIterator[HistoryClient]:
    settings = ServeSettings(
        database=database_settings(dsn, pooler_url),
        **key_settings("history"),
        session_url=session_url,
        projection_wait=ProjectionWaitSettings(
            timeout_seconds=wait_seconds,
            max_waiters=max_waiters,
            max_person_share=max_person_share,
        ),
        export=ExportSettings(max_concurrent=max_exports, max_person_share=max_person_share),
        search_limit=SearchLimitSettings(
            max_concurrent=max_searches, max_person_share=max_person_share
        ),
        search=SearchSettings(indexer_enabled=indexer_enabled),
    )
    app = create_app(settings)
    async with serving(app) as served, aiohttp.ClientSession() as http:
        yield HistoryClient(served.url, http, app.state.change_feed)
