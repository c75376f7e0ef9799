"""GET /v1/history/{session_id}: a page with at least what its reader wrote, kept for the next time.

Most pages that are kept are answered by `stored_answers`, before any route.
"""

import asyncio
from contextlib import suppress
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import InvalidRequest, Unavailable
from parley_core.http.service_client import ServiceError, ServiceResponse
from parley_gateway.auth.authenticator import Caller
from parley_gateway.history.conditional_get import is_not_modified, page_of, response_start
from parley_gateway.history.page_cache import Key, Page
from parley_gateway.http.forwarding import Forwarder, passthrough_response
from parley_gateway.http.request_parsing import path_id, query_of
from parley_gateway.parts import Parts
from parley_gateway.schemas.queries import HistoryQuery


class GetHistoryEndpoint:
    """An ASGI application, for its answers to be the same as those of kept pages."""

    def __init__(self, parts: Parts, passing: Forwarder) -> None:
        self._parts, self._passing = parts, passing
        self._under_way: dict[Key, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asker = await self._parts.authenticate(request)
        session_id = path_id(request, "session_id")
        asked = query_of(request, HistoryQuery)
        person = (asker.principal.tenant, asker.principal.user)
        key = (person, scope["raw_path"], scope["query_string"])
        page = await self._kept(key)
        if page is None:
            answer, page = await self._read(session_id, asker, asked, key)
            if page is None:
                await passthrough_response(answer)(scope, receive, send)
                return
        held = is_not_modified(page, request.headers.get("if-none-match", "").encode("latin-1"))
        # The middleware adds the request's id.
        await send(response_start(page, held))
        await send({"type": "http.response.body", "body": b"" if held else page.body})

    async def _kept(self, key: Key) -> Page | None:
        """One that is kept, or will be in a moment: many may ask when a session has moved."""
        page = self._parts.pages.find(key)
        if page is None and (read := self._under_way.get(key)) is not None:
            await read.wait()
            page = self._parts.pages.find(key)
        return page

    async def _read(
        self, session_id: UUID, asker: Caller, asked: HistoryQuery, key: Key
    ) -> tuple[ServiceResponse, Page | None]:
        """As `_read_and_keep`; others who ask for the same meanwhile wait for it."""
        if key in self._under_way:
            return await self._read_and_keep(session_id, asker, asked, key)
        read = self._under_way[key] = asyncio.Event()
        try:
            return await self._read_and_keep(session_id, asker, asked, key)
        finally:
            del self._under_way[key]
            read.set()

    async def _read_and_keep(
        self, session_id: UUID, asker: Caller, asked: HistoryQuery, key: Key
    ) -> tuple[ServiceResponse, Page | None]:
        """What history answers; the page is None where that names no version."""
        pages, writes = self._parts.pages, self._parts.writes
        written = writes.version(asker.principal, session_id)
        began = pages.now()
        answer = await self._ask(session_id, asker, asked, written)
        page = page_of(session_id, answer.body, answer.headers.get("etag"))
        if page is not None and page.version >= writes.version(asker.principal, session_id):
            pages.keep(key, page, began)
        return answer, page

    async def _ask(
        self, session_id: UUID, asker: Caller, asked: HistoryQuery, written: int
    ) -> ServiceResponse:
        history, query = self._parts.peers.history, asked.to_query()
        if _should_have(asked, written):
            # Waited for, and not insisted upon: while the log is away the page before is an answer.
            # But one of a session that was deleted is none.
            deleted = self._parts.writes.is_deleted(asker.principal, session_id)
            query["min_version" if deleted else "seen"] = str(written)
        try:
            return await self._passing.ask(
                history, "GET", f"/history/{session_id}", asker, query=query
            )
        except ServiceError as refused:
            if refused.code == "projection_behind":
                # Whether waiting would help; when session cannot say, it is still history's word.
                with suppress(Unavailable, ValueError):
                    await self._check_reachable(session_id, asker, asked.min_version or 0)
            raise

    async def _check_reachable(self, session_id: UUID, asker: Caller, version: int) -> None:
        """Session knows of what history may not: that there is no such session, or version."""
        session = self._parts.peers.session
        answer = await self._passing.ask(session, "GET", f"/sessions/{session_id}", asker)
        if msgspec.json.decode(answer.body, type=_Version).version < version:
            raise InvalidRequest("The session has no such version yet.", param="min_version")


class _Version(msgspec.Struct):
    version: int


def _should_have(asked: HistoryQuery, written: int) -> bool:
    """Whether the page should have the version that its reader wrote; one of the past need not."""
    if asked.as_of is not None and asked.as_of.isdecimal() and int(asked.as_of) < written:
        return False
    return written > (asked.min_version or 0)
