"""DELETE of one session or of all: done by session, and answered once history knows of it."""

import asyncio
from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from parley_core.http.errors import ParleyError
from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.forwarding import Forwarder, passthrough_response
from parley_gateway.http.request_parsing import path_id
from parley_gateway.parts import Parts

_ALL = {"limit": "100", "archived": "all"}


class _Deleted(msgspec.Struct):
    version: int


class _DeletedAll(msgspec.Struct):
    has_more: bool = False


class _Held(msgspec.Struct):
    legal_hold: bool = False


class _Sessions(msgspec.Struct):
    data: list[_Held]


class DeleteSessionsEndpoint:
    """Waits `known_seconds` at most, and asks for the list again after `pause_seconds`.

    It is done in any case: what history keeps for longer, no key can read any more.
    """

    def __init__(
        self, parts: Parts, passing: Forwarder, *, known_seconds: float, pause_seconds: float
    ) -> None:
        self._parts, self._passing = parts, passing
        self._known_seconds, self._pause_seconds = known_seconds, pause_seconds

    async def session(self, request: Request) -> Response:
        asker = await self._parts.authenticate(request)
        session_id = path_id(request, "session_id")
        session = self._parts.peers.session
        answer = await self._passing.ask(session, "DELETE", f"/sessions/{session_id}", asker)
        self._parts.writes.record_from_response(asker.principal, answer.body)
        # A 404 is what is waited for, and whatever else comes has had its time.
        with suppress(ParleyError, TimeoutError, ValueError):
            version = msgspec.json.decode(answer.body, type=_Deleted).version
            query = {"limit": "1", "min_version": str(version)}
            async with asyncio.timeout(self._known_seconds):
                history = self._parts.peers.history
                await self._passing.ask(
                    history, "GET", f"/history/{session_id}", asker, query=query
                )
        return passthrough_response(answer)

    async def all_sessions(self, request: Request) -> Response:
        asker = await self._parts.authenticate(request)
        answer = await self._passing.ask(self._parts.peers.session, "DELETE", "/sessions", asker)
        with suppress(ParleyError, TimeoutError, ValueError):
            # With more to come, history will list some however long it is waited for.
            if not msgspec.json.decode(answer.body, type=_DeletedAll).has_more:
                async with asyncio.timeout(self._known_seconds):
                    await self._until_none_is_left(asker)
        self._parts.pages.forget((asker.principal.tenant, asker.principal.user))
        return passthrough_response(answer)

    async def _until_none_is_left(self, asker: Caller) -> None:
        while True:
            if not await self._are_left(asker):
                return
            await asyncio.sleep(self._pause_seconds)

    async def _are_left(self, asker: Caller) -> bool:
        """Whether history lists any but those that are held."""
        history = self._parts.peers.history
        answer = await self._passing.ask(history, "GET", "/sessions", asker, query=_ALL)
        page = msgspec.json.decode(answer.body, type=_Sessions)
        return not all(session.legal_hold for session in page.data)
