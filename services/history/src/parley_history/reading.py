"""A person reads a session: whose it is, how far it is projected, and what was said."""

import asyncio
from contextlib import AbstractContextManager, suppress
from typing import Protocol
from uuid import UUID

from parley_core.errors import InvalidRequest, Unavailable
from parley_core.principal import Principal
from parley_core.sealing import DataKey
from parley_history.page_json import page_json
from parley_history.page_request import PageRequest
from parley_history.pages import StoredPage

_NOT_PROJECTED = StoredPage(version=0, messages=(), has_more=False, cursor_known=False)


class Pages(Protocol):
    """`pages.Pages` is one."""

    async def read(
        self, session_id: UUID, person: Principal, asked: PageRequest
    ) -> StoredPage | None: ...
    async def version(self, session_id: UUID) -> int: ...


class Movement(Protocol):
    async def next(self) -> None: ...


class Movements(Protocol):
    """`movements.Movements` is one."""

    @property
    def waiting(self) -> int: ...
    def of(self, session_id: UUID) -> AbstractContextManager[Movement]: ...


class Owners(Protocol):
    """`session_client.SessionClient` is one."""

    async def require(self, session_id: UUID, person: Principal, request_id: str) -> None: ...


class Keys(Protocol):
    """`content_keys.ContentKeys` is one."""

    async def of(self, session_id: UUID, request_id: str) -> DataKey: ...


class Reading:
    """At most `most_waiting` requests wait at once, each for `wait_seconds` at most."""

    def __init__(
        self,
        pages: Pages,
        movements: Movements,
        owners: Owners,
        keys: Keys,
        *,
        wait_seconds: float,
        most_waiting: int,
    ) -> None:
        self._pages, self._movements, self._owners, self._keys = pages, movements, owners, keys
        self._wait_seconds, self._most_waiting = wait_seconds, most_waiting

    async def page(
        self, session_id: UUID, person: Principal, request_id: str, asked: PageRequest
    ) -> bytes:
        """The JSON of a page. Raises a ParleyError."""
        page = await self._pages.read(session_id, person, asked)
        if page is None:
            # Unknown here is not unknown: a new session may not be projected yet.
            await self._owners.require(session_id, person, request_id)
        page = await self._far_enough(page or _NOT_PROJECTED, session_id, person, asked)
        if asked.cursor and not page.cursor_known:
            param = "after" if asked.after else "before"
            raise InvalidRequest("There is no such message in this session.", param=param)
        key = await self._keys.of(session_id, request_id) if page.messages else None
        return page_json(page, key)

    async def _far_enough(
        self, page: StoredPage, session_id: UUID, person: Principal, asked: PageRequest
    ) -> StoredPage:
        """The page, or a newer one, of a session that is projected up to `min_version`."""
        least = asked.min_version or 0
        if page.version >= least:
            return page
        await self._wait(session_id, least)
        page = await self._pages.read(session_id, person, asked) or _NOT_PROJECTED
        if page.version < least:
            raise Unavailable(
                f"The history of this session is at version {page.version}, asked for {least}.",
                code="projection_behind",
            )
        return page

    async def _wait(self, session_id: UUID, least: int) -> None:
        """Return when the session is projected so far, or when the time is up."""
        if self._movements.waiting >= self._most_waiting:
            raise Unavailable("Too many requests wait here; try again.", code="history_busy")
        # A database that does not answer in time ends the wait as well: the next read tells.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                with self._movements.of(session_id) as movement:
                    while await self._pages.version(session_id) < least:
                        await movement.next()
