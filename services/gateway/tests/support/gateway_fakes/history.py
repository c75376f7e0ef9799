"""Fake history service, as docs/internal-api.md describes it; a test projects its sessions."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway_fakes.service import Call, FakeService, error

ALIVE_SECONDS = 0.02


@dataclass
class Projected:
    version: int
    text: str
    owner: str
    gone: bool = False


class History(FakeService):
    """Publishes every projection on the change feed."""

    name = "history"

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Projected] = {}
        self.subscribers: set[asyncio.Queue[bytes]] = set()
        self.has_feed, self.is_silent = True, False
        self.before_answer = asyncio.Event()
        self.before_answer.set()

    def project(self, session_id: object, version: int, text: str = "", owner: str = "ada") -> None:
        self.sessions[str(session_id)] = Projected(version, text, owner)
        self.publish({"changed": [str(session_id)]})

    def erase(self, session_id: object, version: int) -> None:
        self.sessions[str(session_id)] = Projected(version, "", "", gone=True)
        self.publish({"changed": [str(session_id)]})

    def publish(self, line: Any) -> None:
        for subscriber in self.subscribers:
            subscriber.put_nowait(json.dumps(line).encode() + b"\n")

    def disconnect_feed(self) -> None:
        for subscriber in self.subscribers:
            subscriber.put_nowait(b"")

    @property
    def reads(self) -> list[Call]:
        return [call for call in self.calls if call.path.startswith("/history/")]

    async def handle(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.path == "/sessions":
            return web.json_response(self._list())
        session = self.sessions.get(call.path.rpartition("/")[2])
        # The response is read now; a change may be published before it is sent.
        answer = self._page(session, call)
        await self.before_answer.wait()
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/changes":
            return await super()._answer(request)
        await self._call(request)
        if self.is_unavailable or not self.has_feed:
            return error(404, "not_found")
        return await self._stream_changes(request)

    def _page(self, session: Projected | None, call: Call) -> web.Response:
        if session is None:
            return error(404, "session_not_found")
        if session.version < int(call.query.get("min_version", 0)):
            return error(503, "projection_behind", retry_after="1")
        if session.owner != call.principal.user:
            return error(404, "session_not_found")
        body = {"object": "list", "data": [session.text], "version": session.version}
        return web.json_response(body, headers={"etag": f'W/"{session.version}"'})

    def _list(self) -> dict[str, Any]:
        there = [id for id, session in self.sessions.items() if not session.gone]
        return {"object": "list", "data": [{"id": id, "legal_hold": False} for id in there]}

    async def _stream_changes(self, request: web.Request) -> web.StreamResponse:
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"listening":true}\n')
        self.subscribers.add(lines)
        try:
            while line := await self._next(lines):
                if not self.is_silent:
                    await response.write(line)
        finally:
            self.subscribers.discard(lines)
        return response

    async def _next(self, lines: asyncio.Queue[bytes]) -> bytes:
        try:
            async with asyncio.timeout(ALIVE_SECONDS):
                return await lines.get()
        except TimeoutError:
            return b"\n"
