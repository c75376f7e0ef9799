"""Pages of a person's sessions, read from the read model: each page is one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.sessions.request import SessionListRequest

# The columns of a ListedSession, in its order.
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
# A cursor is a place, also when its session is in no list any more.
_READ_PLACE = "SELECT updated_at FROM sessions WHERE id = $1 AND tenant = $2 AND owner = $3"


class ListedSession(NamedTuple):
    """What is shown of a session; title and metadata are sealed. No list has one that expires."""

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
class SessionRepository:
    """In the order asked for."""

    sessions: Sequence[ListedSession]
    has_more: bool


class SessionPages:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, person: Principal, asked: SessionListRequest) -> SessionRepository | None:
        """A page, or None where this person has no session with the cursor's id."""
        place = None
        if asked.cursor:
            place = await self._pool.fetchval(_READ_PLACE, asked.cursor, person.tenant, person.user)
            if place is None:
                return None
        rows = await self._pool.fetch(
            _READ_OLDER if asked.older else _READ_NEWER,
            person.tenant,
            person.user,
            place,
            asked.cursor,
            asked.updated_after,
            asked.updated_before,
            asked.assistant_id,
            asked.archived,
            # One session more than asked for tells whether there are more.
            asked.limit + 1,
        )
        sessions = [ListedSession(*row.values()) for row in rows[: asked.limit]]
        if asked.older != asked.newest_first:
            sessions.reverse()
        return SessionRepository(sessions, has_more=len(rows) > asked.limit)
