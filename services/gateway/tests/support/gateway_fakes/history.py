"""Fake history service, as docs/internal-api.md describes it; a test projects its sessions."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from parley_testing.fake_service import Call, FakeService, error


@dataclass
class Projected:
    version: int
    text: str
    owner: str


class History(FakeService):
    name = "history"

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Projected] = {}
        self.before_answer = asyncio.Event()
        self.before_answer.set()

    def project(self, session_id: object, version: int, text: str = "", owner: str = "ada") -> None:
        self.sessions[str(session_id)] = Projected(version, text, owner)

    @property
    def reads(self) -> list[Call]:
        return [call for call in self.calls if call.path.startswith("/history/")]

    async def handle(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.path == "/sessions":
            return web.json_response({"object": "list", "data": []})
        session = self.sessions.get(call.path.rpartition("/")[2])
        # The response is read now; a change may be projected before it is sent.
        answer = self._page(session, call)
        await self.before_answer.wait()
        return answer

    def _page(self, session: Projected | None, call: Call) -> web.Response:
        if session is None:
            return error(404, "session_not_found")
        behind = session.version < int(call.query.get("min_version", 0))
        if behind and call.query.get("allow_behind") != "true":
            return error(503, "projection_behind", retry_after="1")
        if session.owner != call.principal.user:
            return error(404, "session_not_found")
        body = {"object": "list", "data": [session.text], "version": session.version}
        if behind:
            return web.json_response(body | {"behind": True})
        return web.json_response(body, headers={"etag": f'W/"{session.version}"'})
