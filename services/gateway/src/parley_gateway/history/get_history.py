"""Reads a page of history that includes the caller's own writes, and caches it.

Most cached pages are served by `page_cache_middleware`, before any route.
"""

import asyncio
from contextlib import suppress
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest, Unavailable
from parley_core.http.service_client import ServiceError, ServiceResponse
from parley_gateway.history.conditional_get import page_response, parse_page
from parley_gateway.history.page_cache import Key, Page, PageCache
from parley_gateway.history.recent_writes import RecentWrites
from parley_gateway.http.forwarding import Forwarder, passthrough_response
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.schemas.queries import HistoryQuery


class HistoryReader:
    def __init__(
        self, forwarder: Forwarder, upstreams: Upstreams, pages: PageCache, writes: RecentWrites
    ) -> None:
        self._forwarder, self._upstreams = forwarder, upstreams
        self._pages, self._writes = pages, writes
        self._reads: dict[Key, asyncio.Event] = {}

    async def read_page(
        self,
        request: Request,
        session_id: UUID,
        caller: Caller,
        query: HistoryQuery,
        if_none_match: str,
    ) -> Response:
        owner = (caller.principal.tenant, caller.principal.user)
        key = (owner, request.scope["raw_path"], request.scope["query_string"])
        page = await self._cached(key)
        if page is None:
            response, page = await self._read_once(session_id, caller, query, key)
            if page is None:
                return passthrough_response(response)
        return page_response(page, if_none_match.encode("latin-1"))

    async def _cached(self, key: Key) -> Page | None:
        """The cached page; waits for a running read, as many clients ask after a change."""
        page = self._pages.get(key)
        if page is None and (read := self._reads.get(key)) is not None:
            await read.wait()
            page = self._pages.get(key)
        return page

    async def _read_once(
        self, session_id: UUID, caller: Caller, query: HistoryQuery, key: Key
    ) -> tuple[ServiceResponse, Page | None]:
        """Single flight: other requests for the same page wait for this read."""
        if key in self._reads:
            return await self._read(session_id, caller, query, key)
        read = self._reads[key] = asyncio.Event()
        try:
            return await self._read(session_id, caller, query, key)
        finally:
            del self._reads[key]
            read.set()

    async def _read(
        self, session_id: UUID, caller: Caller, query: HistoryQuery, key: Key
    ) -> tuple[ServiceResponse, Page | None]:
        """History's response; the page is None when it carries no version."""
        pages, writes = self._pages, self._writes
        min_version = writes.min_version(caller.principal, session_id)
        generation = pages.generation()
        response = await self._call_history(session_id, caller, query, min_version)
        page = parse_page(session_id, response.body, response.headers.get("etag"))
        if page is not None and page.version >= writes.min_version(caller.principal, session_id):
            pages.put(key, page, generation)
        return response, page

    async def _call_history(
        self, session_id: UUID, caller: Caller, query: HistoryQuery, min_version: int
    ) -> ServiceResponse:
        parameters = query.to_query()
        if _must_include(query, min_version):
            # `seen` waits without insisting: while the log is down, the older page is returned.
            # For a deleted session the older page would be wrong.
            deleted = self._writes.is_deleted(caller.principal, session_id)
            parameters["min_version" if deleted else "seen"] = str(min_version)
        try:
            return await self._forwarder.call(
                self._upstreams.history, "GET", f"/history/{session_id}", caller, query=parameters
            )
        except ServiceError as error:
            if error.code == "projection_behind":
                # Is waiting worthwhile? When session cannot tell, history's error stands.
                with suppress(Unavailable, ValueError):
                    await self._check_version_exists(session_id, caller, query.min_version or 0)
            raise

    async def _check_version_exists(self, session_id: UUID, caller: Caller, version: int) -> None:
        """Session knows first that a session is gone, or has no such version."""
        response = await self._forwarder.call(
            self._upstreams.session, "GET", f"/sessions/{session_id}", caller
        )
        if msgspec.json.decode(response.body, type=_Version).version < version:
            raise InvalidRequest("The session has no such version yet.", param="min_version")


class _Version(msgspec.Struct):
    version: int


def _must_include(query: HistoryQuery, min_version: int) -> bool:
    """Whether the page must include the caller's last write; a page of the past need not."""
    if query.as_of is not None and query.as_of.isdecimal() and int(query.as_of) < min_version:
        return False
    return min_version > (query.min_version or 0)
