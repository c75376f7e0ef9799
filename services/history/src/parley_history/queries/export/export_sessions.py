"""Exports sessions in chunks, so that memory use does not depend on their size.

Each session is exported as of one version, the one at which its export began.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from uuid import UUID

from pydantic import Field

from parley_core.auth.caller import Caller
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import Unavailable
from parley_core.http.person_limit import PersonLimit, PersonShare
from parley_core.runtime.offload import run_in_thread_if_long
from parley_core.runtime.settings import Count, SettingsGroup
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.domain.rows import MessageRow
from parley_history.queries.export.formats import ExportFormat, FormatName, format_of
from parley_history.queries.export.repository import ExportRepository
from parley_history.queries.messages.page_json import message_json, sealed_bytes
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.page_request import PageRequest
from parley_history.queries.sessions.committed_versions import (
    CommittedVersions,
    sessions_behind,
)
from parley_history.queries.sessions.list_sessions import session_shape
from parley_history.queries.sessions.repository import ListedSession
from parley_history.session_service.client import SessionClient
from parley_history.session_service.key_cache import DataKeyCache

_MESSAGES_PER_CHUNK, _SESSIONS_PER_READ = 100, 100


class ExportSettings(SettingsGroup):
    max_concurrent: Count = Field(
        default=20, description="the number of exports that may run at once, from 1"
    )
    max_person_share: PersonShare = Field(
        default=0.2,
        description="the share of these exports that one person may have, over 0 and up to 1",
    )


class ExportInterrupted(Exception):
    """A session was deleted or erased during its export; what was sent is incomplete."""


class SessionExporter:
    def __init__(
        self,
        sessions: ExportRepository,
        pages: PageRepository,
        projection: ProjectionWaiter,
        committed: CommittedVersions,
        session_client: SessionClient,
        keys: DataKeyCache,
        settings: ExportSettings,
    ) -> None:
        self._sessions, self._pages, self._projection = sessions, pages, projection
        self._committed = committed
        self._session_client, self._keys = session_client, keys
        self._limit = PersonLimit(
            settings.max_concurrent,
            settings.max_person_share,
            things="exports",
            person_code="too_many_exports",
            busy_code="history_busy",
        )

    async def export_session(
        self, session_id: UUID, caller: Caller, format_name: FormatName, min_version: int
    ) -> AsyncGenerator[bytes]:
        """Export one session, projected at least to `min_version`.

        Raises ParleyError or ExportInterrupted.
        """
        format = format_of(format_name)
        with self._limit.slot(caller.principal):
            session = await self._projected_session(session_id, caller, min_version)
            key = await self._keys.get(session_id, caller.request_id)
            async for chunk in self._session_chunks(session, key, caller, format, index=0):
                yield chunk
            yield format.end_single(session_id)

    async def export_all(self, caller: Caller, format_name: FormatName) -> AsyncGenerator[bytes]:
        """Export all sessions of the caller, except temporary ones.

        Raises ParleyError or ExportInterrupted.
        """
        with self._limit.slot(caller.principal):
            if not await self._committed.are_projected(caller):
                raise sessions_behind()
            ids = await self._sessions.ids(caller.principal)
            async for chunk in self._chunks_of_all(ids, caller, format_of(format_name)):
                yield chunk

    async def _projected_session(
        self, session_id: UUID, caller: Caller, min_version: int
    ) -> ListedSession:
        found = await self._sessions.read([session_id], caller.principal)
        if not found:
            # A new session may exist without being projected; the session service decides.
            committed = await self._session_client.version(session_id, caller)
            min_version = max(min_version, committed)
        if not found or found[0].version < min_version:
            await self._projection.wait_for(session_id, min_version, caller.principal)
            found = await self._sessions.read([session_id], caller.principal)
        if not found or found[0].version < min_version:
            raise Unavailable(
                "The session has not been fully projected yet. Please retry.",
                code="projection_behind",
            )
        return found[0]

    async def _chunks_of_all(
        self, ids: Sequence[UUID], caller: Caller, format: ExportFormat
    ) -> AsyncIterator[bytes]:
        yield format.begin_all()
        index = 0
        for start in range(0, len(ids), _SESSIONS_PER_READ):
            batch = ids[start : start + _SESSIONS_PER_READ]
            sessions = await self._sessions.read(batch, caller.principal)
            keys = await self._keys.get_many([each.id for each in sessions], caller.request_id)
            for session in sessions:
                # A missing key means that the session is erased and the erasure not projected yet.
                if (key := keys.get(session.id)) is not None:
                    async for chunk in self._session_chunks(session, key, caller, format, index):
                        yield chunk
                    index += 1
        yield format.end_all()

    async def _session_chunks(
        self,
        session: ListedSession,
        key: DataKey,
        caller: Caller,
        format: ExportFormat,
        index: int,
    ) -> AsyncIterator[bytes]:
        yield format.begin_session(session_shape(session, key), index)
        after: UUID | None = None
        has_more = True
        while has_more:
            request = PageRequest(
                limit=_MESSAGES_PER_CHUNK,
                order="asc",
                after=after,
                as_of=session.version,
                all_branches=format.all_branches,
            )
            page = await self._pages.read(session.id, caller.principal, request)
            if page is None or (after and not page.cursor_known):
                raise ExportInterrupted
            if page.messages:
                rows, is_first = page.messages, after is None
                yield await run_in_thread_if_long(
                    sealed_bytes(rows), partial(_encode_messages, format, rows, key, is_first)
                )
                after = rows[-1].id
            has_more = page.has_more
        yield format.end_session()


def _encode_messages(
    format: ExportFormat, rows: Sequence[MessageRow], key: DataKey, is_first_page: bool
) -> bytes:
    messages = [message_json(row, key) for row in rows]
    return format.messages(messages, is_first_page=is_first_page)
