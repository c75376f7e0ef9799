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
    """Tells every projection to all who follow its movements."""

    name = "history"

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Projected] = {}
        self.followers: set[asyncio.Queue[bytes]] = set()
        self.has_movements, self.is_silent = True, False
        self.before_answer = asyncio.Event()
        self.before_answer.set()

    def project(self, session_id: object, version: int, text: str = "", owner: str = "ada") -> None:
        self.sessions[str(session_id)] = Projected(version, text, owner)
        self.tell({"moved": [str(session_id)]})

    def erase(self, session_id: object, version: int) -> None:
        self.sessions[str(session_id)] = Projected(version, "", "", gone=True)
        self.tell({"moved": [str(session_id)]})

    def tell(self, line: Any) -> None:
        for follower in self.followers:
            follower.put_nowait(json.dumps(line).encode() + b"\n")

    def break_movements(self) -> None:
        for follower in self.followers:
            follower.put_nowait(b"")

    @property
    def reads(self) -> list[Call]:
        return [call for call in self.calls if call.path.startswith("/history/")]

    async def handle(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.path == "/sessions":
            return web.json_response(self._list())
        session = self.sessions.get(call.path.rpartition("/")[2])
        # What it answers is what it read; a movement may come before it is sent.
        answer = self._page(session, call)
        await self.before_answer.wait()
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/movements":
            return await super()._answer(request)
        await self._call(request)
        if self.away or not self.has_movements:
            return error(404, "not_found")
        return await self._follow(request)

    def _page(self, session: Projected | None, call: Call) -> web.Response:
        if session is None:
            return error(404, "session_not_found")
        if session.version < int(call.query.get("min_version", 0)):
            return error(503, "projection_behind", retry_after="1")
        if session.owner != call.person.user:
            return error(404, "session_not_found")
        body = {"object": "list", "data": [session.text], "version": session.version}
        return web.json_response(body, headers={"etag": f'W/"{session.version}"'})

    def _list(self) -> dict[str, Any]:
        there = [id for id, session in self.sessions.items() if not session.gone]
        return {"object": "list", "data": [{"id": id, "legal_hold": False} for id in there]}

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"listening":true}\n')
        self.followers.add(lines)
        try:
            while line := await self._next(lines):
                if not self.is_silent:
                    await response.write(line)
        finally:
            self.followers.discard(lines)
        return response

    async def _next(self, lines: asyncio.Queue[bytes]) -> bytes:
        try:
            async with asyncio.timeout(ALIVE_SECONDS):
                return await lines.get()
        except TimeoutError:
            return b"\n"
