"""A person reads a session: whose it is, how far it is projected, and what was said."""

from typing import NamedTuple, Protocol
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import InvalidRequest, Unavailable
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.queries.messages.page_json import page_json
from parley_history.queries.messages.page_repository import StoredPage
from parley_history.queries.messages.page_request import PageRequest

_NOT_PROJECTED = StoredPage(
    version=0, messages=(), has_more=False, cursor_known=False, leaf_known=False
)


class PageRepository(Protocol):
    """`pages.Pages` is one."""

    async def read(
        self, session_id: UUID, person: Principal, asked: PageRequest
    ) -> StoredPage | None: ...


class Owners(Protocol):
    """`session_client.SessionClient` is one."""

    async def version(self, session_id: UUID, person: Principal, request_id: str) -> int: ...


class Keys(Protocol):
    """`content_keys.ContentKeys` is one."""

    async def of(self, session_id: UUID, request_id: str) -> DataKey: ...


class Page(NamedTuple):
    """The JSON of a page, and the version of the session that it shows."""

    json: bytes
    version: int


class PageReader:
    def __init__(
        self, pages: PageRepository, waiting: ProjectionWaiter, owners: Owners, keys: Keys
    ) -> None:
        self._pages, self._waiting, self._owners, self._keys = pages, waiting, owners, keys

    async def page(
        self, session_id: UUID, person: Principal, request_id: str, asked: PageRequest
    ) -> Page:
        """Raises a ParleyError."""
        page = await self._stored(session_id, person, request_id, asked)
        if page.version < (asked.as_of_version or 0):
            _require_reached(await self._owners.version(session_id, person, request_id), asked)
        if page.version < asked.wanted:
            await self._wait(session_id, page, asked)
            page = await self._stored(session_id, person, request_id, asked)
        _require_far_enough(page, asked.least)
        _require_known(page, asked)
        key = await self._keys.of(session_id, request_id) if page.messages else None
        return Page(page_json(page, key), page.version)

    async def _wait(self, session_id: UUID, page: StoredPage, asked: PageRequest) -> None:
        if page.version < asked.least:
            await self._waiting.for_one(session_id, asked.wanted)
        else:
            await self._waiting.for_all({session_id: asked.wanted})

    async def _stored(
        self, session_id: UUID, person: Principal, request_id: str, asked: PageRequest
    ) -> StoredPage:
        page = await self._pages.read(session_id, person, asked)
        if page is None:
            # Unknown here is not unknown: a new session may not be projected yet.
            await self._owners.version(session_id, person, request_id)
        return page or _NOT_PROJECTED


def _require_reached(version: int, asked: PageRequest) -> None:
    if (asked.as_of_version or 0) > version:
        raise InvalidRequest(f"This session is at version {version}.", param="as_of")


def _require_far_enough(page: StoredPage, least: int) -> None:
    if page.version < least:
        raise Unavailable(
            f"The history of this session is at version {page.version}, asked for {least}.",
            code="projection_behind",
        )


def _require_known(page: StoredPage, asked: PageRequest) -> None:
    if asked.leaf and not page.leaf_known:
        raise InvalidRequest("There is no such message in this session.", param="leaf")
    if asked.cursor and not page.cursor_known:
        param = "after" if asked.after else "before"
        raise InvalidRequest("There is no such message in this list.", param=param)
