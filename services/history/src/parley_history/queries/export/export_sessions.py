"""A person takes away what was said, in pieces, so that any amount of it needs little memory.

Each session is as of one version: that at which its export began.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import Unavailable
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.queries.export.formats import ExportFormat, form_of
from parley_history.queries.export.repository import ExportedSessions
from parley_history.queries.export.request import Form
from parley_history.queries.messages.page_json import message_of
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.page_request import PageRequest
from parley_history.queries.sessions.list_sessions import session_shape
from parley_history.queries.sessions.repository import ListedSession
from parley_history.session_service.key_cache import DataKeyCache

_MESSAGES, _SESSIONS = 100, 100


class Owners(Protocol):
    """`session_client.SessionClient` is one."""

    async def version(self, session_id: UUID, person: Principal, request_id: str) -> int: ...


class ExportInterrupted(Exception):
    """A session was deleted or erased while it was exported: what was sent is not all of it."""


class SessionExporter:
    """At most `most` exports go on at once, from what they wait for to their last piece."""

    def __init__(
        self,
        sessions: ExportedSessions,
        pages: PageRepository,
        waiting: ProjectionWaiter,
        owners: Owners,
        keys: DataKeyCache,
        *,
        most: int,
    ) -> None:
        self._sessions, self._pages, self._waiting = sessions, pages, waiting
        self._owners, self._keys, self._most = owners, keys, most
        self._going_on = 0

    async def one(
        self, session_id: UUID, person: Principal, request_id: str, form: Form, least: int
    ) -> AsyncIterator[bytes]:
        """A session that is projected as far as `least`.

        Raises a ParleyError, or ExportInterrupted.
        """
        written = form_of(form)
        with self._room():
            session = await self._projected(session_id, person, request_id, least)
            key = await self._keys.of(session_id, request_id)
            async for piece in self._pieces(session, key, person, written, place=0):
                yield piece
            yield written.after_one(session_id)

    async def all(
        self, person: Principal, request_id: str, form: Form, seen: Mapping[UUID, int]
    ) -> AsyncIterator[bytes]:
        """All sessions of the person but temporary ones.

        Raises a ParleyError, or ExportInterrupted.
        """
        with self._room():
            await self._waiting.for_all(seen)
            ids = await self._sessions.ids(person)
            async for piece in self._pieces_of_all(ids, person, request_id, form_of(form)):
                yield piece

    @contextmanager
    def _room(self) -> Iterator[None]:
        if self._going_on >= self._most:
            raise Unavailable("Too many exports go on here; try again.", code="history_busy")
        self._going_on += 1
        try:
            yield
        finally:
            self._going_on -= 1

    async def _projected(
        self, session_id: UUID, person: Principal, request_id: str, least: int
    ) -> ListedSession:
        found = await self._sessions.read([session_id], person)
        if not found:
            # Unknown here is not unknown: a new session may not be projected yet.
            least = max(least, await self._owners.version(session_id, person, request_id))
        if not found or found[0].version < least:
            await self._waiting.for_one(session_id, least)
            found = await self._sessions.read([session_id], person)
        if not found or found[0].version < least:
            raise Unavailable("This session is not here as a whole yet.", code="projection_behind")
        return found[0]

    async def _pieces_of_all(
        self, ids: Sequence[UUID], person: Principal, request_id: str, form: ExportFormat
    ) -> AsyncIterator[bytes]:
        yield form.before_all()
        place = 0
        for start in range(0, len(ids), _SESSIONS):
            sessions = await self._sessions.read(ids[start : start + _SESSIONS], person)
            keys = await self._keys.of_many([one.id for one in sessions], request_id)
            for session in sessions:
                # Where the key is gone, the erasure is on its way.
                if (key := keys.get(session.id)) is not None:
                    async for piece in self._pieces(session, key, person, form, place):
                        yield piece
                    place += 1
        yield form.after_all()

    async def _pieces(
        self,
        session: ListedSession,
        key: DataKey,
        person: Principal,
        form: ExportFormat,
        place: int,
    ) -> AsyncIterator[bytes]:
        yield form.before(session_shape(session, key), place)
        after: UUID | None = None
        more = True
        while more:
            asked = PageRequest(
                limit=_MESSAGES,
                order="asc",
                after=after,
                as_of=session.version,
                all_branches=form.every_branch,
            )
            page = await self._pages.read(session.id, person, asked)
            if page is None or (after and not page.cursor_known):
                raise ExportInterrupted
            if page.messages:
                messages = [message_of(row, key) for row in page.messages]
                yield form.messages(messages, first=after is None)
                after = messages[-1].id
            more = page.has_more
        yield form.after()
