"""A fake session service: versions of sessions, data keys and search keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import UUID

import msgspec
from aiohttp import web

from history_testing.stories import Story
from parley_contracts.api_models import SessionShape
from parley_contracts.session_api.keys import (
    DataKeysRequest,
    DataKeysResponse,
    SearchKey,
    SearchKeysRequest,
    SearchKeysResponse,
)
from parley_contracts.session_api.version_bodies import VersionsResponse
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_testing.peers import caller_of, listening, refusal

PRINCIPAL = web.RequestKey("principal", Principal)


class FakeSessionService:
    def __init__(self) -> None:
        self.url = ""
        self.stories: dict[UUID, Story] = {}
        self.erased: set[UUID] = set()
        self.latest: dict[UUID, int] = {}
        self.search_keys: dict[tuple[str, str], DataKey] = {}
        self.key_requests: list[list[str]] = []
        self.callers: list[tuple[str, Principal, str]] = []
        self.failure: tuple[int, str] | None = None
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    def add(self, *stories: Story) -> None:
        self.stories |= {story.id: story for story in stories}

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        session = cls()
        app = web.Application(middlewares=[session._received])
        app.router.add_get("/sessions/{id}", session._session)
        app.router.add_get("/latest-versions", session._latest_versions)
        app.router.add_post("/keys", session._keys)
        app.router.add_post("/search-keys", session._search_keys)
        async with listening(app) as session.url:
            yield session

    @web.middleware
    async def _received(self, request: web.Request, handler: Any) -> Any:
        principal = caller_of(request, issuer="history", audience="session")
        path = request.path.split("/")[1]
        self.callers.append((path, principal, request.headers["x-request-id"]))
        await self.unblocked.wait()
        if self.failure:
            return refusal(*self.failure)
        request[PRINCIPAL] = principal
        return await handler(request)

    async def _session(self, request: web.Request) -> web.Response:
        story = self.stories.get(UUID(request.match_info["id"]))
        if story is None or story.person != request[PRINCIPAL]:
            return refusal(404, "session_not_found")
        started = story.events[0]
        shape = SessionShape(
            id=story.id,
            assistant_id="helper",
            title=None,
            metadata={},
            version=story.version,
            created_at=started.time,
            updated_at=story.events[-1].time,
        )
        return web.Response(body=shape.to_json(), content_type="application/json")

    async def _latest_versions(self, request: web.Request) -> web.Response:
        return _json(VersionsResponse(self.latest))

    async def _keys(self, request: web.Request) -> web.Response:
        ids = msgspec.json.decode(await request.read(), type=DataKeysRequest).session_ids
        self.key_requests.append([str(id) for id in ids])
        known = {id: self.key_of(id) for id in ids if id in self.stories}
        return _json(DataKeysResponse(known))

    async def _search_keys(self, request: web.Request) -> web.Response:
        people = msgspec.json.decode(await request.read(), type=SearchKeysRequest).people
        owners = {(story.person.tenant, story.person.user) for story in self.stories.values()}
        keys = []
        for person in people:
            key = None
            if (owner := (person.tenant, person.user)) in owners:
                key = self.search_keys.setdefault(owner, DataKey.generate()).secret
            keys.append(SearchKey(person.tenant, person.user, key))
        return _json(SearchKeysResponse(keys))

    def key_of(self, id: UUID) -> bytes | None:
        return None if id in self.erased else self.stories[id].key.secret


def _json(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
