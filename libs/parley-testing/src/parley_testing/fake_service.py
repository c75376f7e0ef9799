"""Base of the fake services: they listen, verify principals and record calls."""

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from parley_core.auth.principal import Principal
from parley_testing.peers import caller_of, listening, refusal


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    principal: Principal
    request_id: str
    key: str | None
    headers: Mapping[str, str]

    @property
    def name(self) -> str:
        """The last part of the path of a POST request; `get` for other requests."""
        return self.path.rsplit("/", 1)[-1] if self.method == "POST" else "get"


class FakeService:
    """Answers the next requests from `answers`, and then by `handle`."""

    name: str
    issuers = frozenset({"gateway"})
    """Services that may call it."""
    unrecorded: frozenset[str] = frozenset()
    """The last parts of the paths of calls that `handle` always answers, and `calls` lacks."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.answers: deque[web.StreamResponse] = deque()
        self.is_unavailable = False

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        peer = cls()
        app = web.Application(client_max_size=2**23)
        app.router.add_route("*", "/{path:.*}", peer._answer)
        async with listening(app, shutdown_timeout=0.01, handler_cancellation=True) as peer.url:
            yield peer

    def called(self, name: str) -> list[Any]:
        """The bodies of the calls of that name."""
        return [call.body for call in self.calls if call.name == name]

    @property
    def callers(self) -> list[tuple[str, Principal, str]]:
        """The name, the principal and the request id of each call."""
        return [(call.name, call.principal, call.request_id) for call in self.calls]

    async def handle(self, request: web.Request, call: Call, /) -> web.StreamResponse:
        raise NotImplementedError

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.is_unavailable:
            assert request.transport is not None
            request.transport.abort()
        call = await self._call(request)
        if request.path.rsplit("/", 1)[-1] not in self.unrecorded:
            self.calls.append(call)
            if self.answers:
                return self.answers.popleft()
        return await self.handle(request, call)

    async def _call(self, request: web.Request) -> Call:
        principal = caller_of(request, issuers=self.issuers, audience=self.name)
        body = await request.read()
        return Call(
            request.method,
            request.path,
            dict(request.query),
            json.loads(body) if body else None,
            principal,
            request.headers["x-request-id"],
            request.headers.get("idempotency-key"),
            request.headers,
        )


def error(status: int, code: str, **headers: str) -> web.Response:
    return refusal(status, code, "p", **headers)


def raw(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
