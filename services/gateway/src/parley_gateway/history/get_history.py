"""Reads a page of history at the session's committed version or later, and caches it.

Most cached pages are served by `page_cache_middleware`, before any route.
"""

import asyncio
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest, ServiceError
from parley_core.http.service_client import ServiceResponse
from parley_gateway.history.conditional_get import page_response, parse_page
from parley_gateway.history.large_pages import LargePages
from parley_gateway.history.page_cache import Key, Page, PageCache
from parley_gateway.history.read_slots import ReadSlots
from parley_gateway.history.version_lookup import VersionLookup
from parley_gateway.http.forwarding import Forwarder, passthrough_response
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.schemas.queries import HistoryQuery


class HistoryReader:
    def __init__(
        self,
        forwarder: Forwarder,
        upstreams: Upstreams,
        pages: PageCache,
        versions: VersionLookup,
    ) -> None:
        self._forwarder, self._upstreams = forwarder, upstreams
        self._pages, self._versions = pages, versions
        self._reads: dict[Key, asyncio.Event] = {}
        self._read_slots, self._large_pages = ReadSlots(), LargePages()

    async def read_page(
        self,
        request: Request,
        session_id: UUID,
        caller: Caller,
        query: HistoryQuery,
        if_none_match: str,
    ) -> Response:
        version = max(await self._versions.current(session_id), query.min_version or 0)
        owner = (caller.principal.tenant, caller.principal.user)
        key = (owner, request.scope["raw_path"], request.scope["query_string"])
        page = await self._cached(key, version)
        if page is None:
            try:
                response, page = await self._read_once(session_id, caller, query, version, key)
            except ServiceError as error:
                if error.code == "projection_behind":
                    await self._require_committed(session_id, query.min_version or 0)
                raise
            if page is None:
                return self._large_pages.limited(passthrough_response(response), caller.principal)
        answer = page_response(page, if_none_match.encode("latin-1"))
        return self._large_pages.limited(answer, caller.principal)

    async def _require_committed(self, session_id: UUID, min_version: int) -> None:
        """Raises InvalidRequest for a version that was not committed while history waited."""
        if min_version > await self._versions.committed(session_id):
            raise InvalidRequest("The session has no such version yet.", param="min_version")

    async def _cached(self, key: Key, version: int) -> Page | None:
        """The cached page; waits for a running read, as many clients ask after a change."""
        page = self._current(key, version)
        if page is None and (read := self._reads.get(key)) is not None:
            await read.wait()
            page = self._current(key, version)
        return page

    def _current(self, key: Key, version: int) -> Page | None:
        page = self._pages.get(key)
        return page if page is not None and page.version >= version else None

    async def _read_once(
        self, session_id: UUID, caller: Caller, query: HistoryQuery, version: int, key: Key
    ) -> tuple[ServiceResponse, Page | None]:
        """Single flight: other requests for the same page wait for this read."""
        if key in self._reads:
            return await self._read(session_id, caller, query, version, key)
        read = self._reads[key] = asyncio.Event()
        try:
            return await self._read(session_id, caller, query, version, key)
        finally:
            del self._reads[key]
            read.set()

    async def _read(
        self, session_id: UUID, caller: Caller, query: HistoryQuery, version: int, key: Key
    ) -> tuple[ServiceResponse, Page | None]:
        """History's response; the page is None when it is behind, and then has no ETag."""
        parameters = query.to_query()
        if not _is_of_the_past(query, version):
            parameters["min_version"] = str(version)
        async with self._read_slots.slot(caller.principal):
            response = await self._forwarder.call(
                self._upstreams.history, "GET", f"/history/{session_id}", caller, query=parameters
            )
        page = parse_page(session_id, response.body, response.headers.get("etag"))
        if page is not None:
            self._pages.put(key, page)
        return response, page


def _is_of_the_past(query: HistoryQuery, version: int) -> bool:
    """Whether the page is one of an older version, which need not have the last write."""
    return query.as_of is not None and query.as_of.isdecimal() and int(query.as_of) < version
