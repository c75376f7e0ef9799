"""Reads a page of messages: checks ownership, waits for the projection and decrypts."""

from typing import NamedTuple
from uuid import UUID

from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest, TooManyRequests, Unavailable
from parley_core.runtime.offload import run_in_thread_if_long
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.queries.messages.page_json import encode_page, sealed_bytes
from parley_history.queries.messages.page_repository import PageRepository, StoredPage
from parley_history.queries.messages.page_request import PageRequest
from parley_history.session_service.client import SessionClient
from parley_history.session_service.key_cache import DataKeyCache

_NOT_PROJECTED = StoredPage(
    version=0, messages=(), has_more=False, cursor_known=False, leaf_known=False
)


class Page(NamedTuple):
    """The JSON of a page, and the session version that it shows.

    `behind` is true when the page lacks versions that the request must have.
    """

    json: bytes
    version: int
    behind: bool


class PageReader:
    def __init__(
        self,
        pages: PageRepository,
        projection: ProjectionWaiter,
        sessions: SessionClient,
        keys: DataKeyCache,
    ) -> None:
        self._pages, self._projection = pages, projection
        self._sessions, self._keys = sessions, keys

    async def read(self, session_id: UUID, caller: Caller, request: PageRequest) -> Page:
        """Raises ParleyError."""
        page = await self._stored_page(session_id, caller, request)
        if page.version < (request.as_of_version or 0):
            _require_committed(await self._sessions.version(session_id, caller), request)
        if page.version < request.required_version:
            await self._wait(session_id, caller, request)
            page = await self._stored_page(session_id, caller, request)
        behind = page.version < request.required_version
        if behind and not request.allow_behind:
            raise _projection_behind(page, request)
        _require_known(page, request)
        key = await self._keys.get(session_id, caller.request_id) if page.messages else None
        body = await run_in_thread_if_long(
            sealed_bytes(page.messages), lambda: encode_page(page, key, behind=behind)
        )
        return Page(body, page.version, behind)

    async def _wait(self, session_id: UUID, caller: Caller, request: PageRequest) -> None:
        try:
            await self._projection.wait_for(session_id, request.required_version, caller.principal)
        except (TooManyRequests, Unavailable):
            if not request.allow_behind:
                raise

    async def _stored_page(
        self, session_id: UUID, caller: Caller, request: PageRequest
    ) -> StoredPage:
        page = await self._pages.read(session_id, caller.principal, request)
        if page is None:
            # A new session may exist without being projected; the session service decides.
            await self._sessions.version(session_id, caller)
        return page or _NOT_PROJECTED


def _require_committed(version: int, request: PageRequest) -> None:
    if (request.as_of_version or 0) > version:
        raise InvalidRequest(f"The session is at version {version}.", param="as_of")


def _projection_behind(page: StoredPage, request: PageRequest) -> Unavailable:
    return Unavailable(
        f"The history of this session is projected up to version {page.version}; version "
        f"{request.required_version} was requested. Please retry.",
        code="projection_behind",
    )


def _require_known(page: StoredPage, request: PageRequest) -> None:
    if request.leaf and not page.leaf_known:
        raise InvalidRequest("The session has no such message.", param="leaf")
    if request.cursor and not page.cursor_known:
        param = "after" if request.after else "before"
        raise InvalidRequest("The list has no such message.", param=param)
