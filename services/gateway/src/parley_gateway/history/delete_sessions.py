"""Deletes one session or all sessions, and waits until history has projected the deletion."""

import asyncio
from contextlib import suppress
from uuid import UUID

import msgspec
from starlette.responses import Response

from parley_core.auth.caller import Caller
from parley_core.http.errors import ParleyError
from parley_gateway.history.page_cache import PageCache
from parley_gateway.history.recent_writes import RecentWrites
from parley_gateway.http.forwarding import Forwarder, passthrough_response
from parley_gateway.http.upstreams import Upstreams

# Deletion is committed either way; data that history projects later is unreadable without its key.
VISIBILITY_TIMEOUT_SECONDS = 2.0
POLL_INTERVAL_SECONDS = 0.05

_ALL_SESSIONS = {"limit": "100", "archived": "all"}


class _Deleted(msgspec.Struct):
    version: int


class _AllDeleted(msgspec.Struct):
    has_more: bool = False


class _Session(msgspec.Struct):
    legal_hold: bool = False


class _Sessions(msgspec.Struct):
    data: list[_Session]


class SessionDeletion:
    def __init__(
        self, forwarder: Forwarder, upstreams: Upstreams, pages: PageCache, writes: RecentWrites
    ) -> None:
        self._forwarder, self._upstreams = forwarder, upstreams
        self._pages, self._writes = pages, writes

    async def delete(self, session_id: UUID, caller: Caller) -> Response:
        response = await self._forwarder.call(
            self._upstreams.session, "DELETE", f"/sessions/{session_id}", caller
        )
        self._writes.record_from_response(caller.principal, response.body)
        # A 404 is the expected outcome; any other error has used up its time.
        with suppress(ParleyError, TimeoutError, ValueError):
            version = msgspec.json.decode(response.body, type=_Deleted).version
            query = {"limit": "1", "min_version": str(version)}
            async with asyncio.timeout(VISIBILITY_TIMEOUT_SECONDS):
                await self._forwarder.call(
                    self._upstreams.history, "GET", f"/history/{session_id}", caller, query=query
                )
        return passthrough_response(response)

    async def delete_all(self, caller: Caller) -> Response:
        response = await self._forwarder.call(
            self._upstreams.session, "DELETE", "/sessions", caller
        )
        with suppress(ParleyError, TimeoutError, ValueError):
            # With more to erase, history would list some however long this waits.
            if not msgspec.json.decode(response.body, type=_AllDeleted).has_more:
                async with asyncio.timeout(VISIBILITY_TIMEOUT_SECONDS):
                    await self._wait_until_none_is_listed(caller)
        self._pages.invalidate_owner((caller.principal.tenant, caller.principal.user))
        return passthrough_response(response)

    async def _wait_until_none_is_listed(self, caller: Caller) -> None:
        while True:
            if not await self._has_sessions(caller):
                return
            await asyncio.sleep(POLL_INTERVAL_SECONDS)

    async def _has_sessions(self, caller: Caller) -> bool:
        """Whether history lists sessions other than those under a legal hold."""
        response = await self._forwarder.call(
            self._upstreams.history, "GET", "/sessions", caller, query=_ALL_SESSIONS
        )
        page = msgspec.json.decode(response.body, type=_Sessions)
        return not all(session.legal_hold for session in page.data)
