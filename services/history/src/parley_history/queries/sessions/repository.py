"""Repository of session lists; one statement reads a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.sessions.request import SessionListRequest

# The fields of ListedSession, in their order.
SESSION_COLUMNS = """
    id, assistant_id, version, created_at, updated_at, title, title_event_id, metadata,
    metadata_event_id, open_turn_id, archived, held, expires_at, forked_from_session_id,
    forked_from_message_id
"""

_READ = """
SELECT {columns}
FROM sessions
WHERE tenant = $1 AND owner = $2 AND NOT deleted AND erased_at IS NULL AND expires_at IS NULL
    AND (updated_at, id) {beyond} (
        coalesce($3::timestamptz, '{edge}infinity'), coalesce($4::uuid, '{edge_id}')
    )
    AND updated_at > coalesce($5::timestamptz, '-infinity')
    AND updated_at < coalesce($6::timestamptz, 'infinity')
    AND ($7::text IS NULL OR assistant_id = $7) AND ($8::boolean IS NULL OR archived = $8)
ORDER BY updated_at {order}, id {order} LIMIT $9
"""
_READ_OLDER = _READ.format(
    columns=SESSION_COLUMNS, beyond="<", edge="", edge_id=UUID(int=2**128 - 1), order="DESC"
)
_READ_NEWER = _READ.format(
    columns=SESSION_COLUMNS, beyond=">", edge="-", edge_id=UUID(int=0), order="ASC"
)
# A cursor stays valid when its session has left every list.
_READ_CURSOR_TIME = "SELECT updated_at FROM sessions WHERE id = $1 AND tenant = $2 AND owner = $3"


class ListedSession(NamedTuple):
    """The public fields of a session; title and metadata are sealed."""

    id: UUID
    assistant_id: str
    version: int
    created_at: datetime
    updated_at: datetime
    title: bytes | None
    title_event_id: UUID | None
    metadata: bytes | None
    metadata_event_id: UUID | None
    open_turn_id: UUID | None
    archived: bool
    held: bool
    expires_at: datetime | None
    forked_from_session_id: UUID | None
    forked_from_message_id: UUID | None


@dataclass(frozen=True, slots=True)
class StoredSessionPage:
    """The sessions are in the requested order."""

    sessions: Sequence[ListedSession]
    has_more: bool


class SessionRepository:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, owner: Principal, request: SessionListRequest) -> StoredSessionPage | None:
        """Return None when the owner has no session with the cursor's id."""
        cursor_time = None
        if request.cursor:
            cursor_time = await self._pool.fetchval(
                _READ_CURSOR_TIME, request.cursor, owner.tenant, owner.user
            )
            if cursor_time is None:
                return None
        rows = await self._pool.fetch(
            _READ_OLDER if request.older else _READ_NEWER,
            owner.tenant,
            owner.user,
            cursor_time,
            request.cursor,
            request.updated_after,
            request.updated_before,
            request.assistant_id,
            request.archived,
            # One session more than the limit shows whether there are more.
            request.limit + 1,
        )
        sessions = [ListedSession(*row.values()) for row in rows[: request.limit]]
        if request.older != request.newest_first:
            sessions.reverse()
        return StoredSessionPage(sessions, has_more=len(rows) > request.limit)
