"""The sessions of an export, read from the read model."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.pool import Pool
from parley_core.principal import Principal
from parley_history.session_list.stored import ListedSession

_READ = """
SELECT expires_at, id, assistant_id, version, created_at, updated_at, title, title_event_id,
    metadata, metadata_event_id, open_turn_id, archived, held, forked_from_session_id,
    forked_from_message_id
FROM sessions
WHERE id = ANY($1::uuid[]) AND tenant = $2 AND owner = $3 AND NOT deleted AND erased_at IS NULL
ORDER BY array_position($1::uuid[], id)
"""
_READ_IDS = """
SELECT id FROM sessions
WHERE tenant = $1 AND owner = $2 AND NOT deleted AND erased_at IS NULL AND expires_at IS NULL
ORDER BY updated_at DESC, id DESC
"""


@dataclass(frozen=True, slots=True)
class ExportedSession:
    """A session as lists have it; one that expires is in none of them."""

    row: ListedSession
    expires_at: datetime | None


class ExportedSessions:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ids(self, person: Principal) -> Sequence[UUID]:
        """All sessions that the person's list has, archived ones too."""
        rows = await self._pool.fetch(_READ_IDS, person.tenant, person.user)
        return [row["id"] for row in rows]

    async def read(self, ids: Sequence[UUID], person: Principal) -> Sequence[ExportedSession]:
        """In the order of the ids, without those that are not the person's, or are gone."""
        rows = await self._pool.fetch(_READ, ids, person.tenant, person.user)
        return [ExportedSession(ListedSession(*tuple(row)[1:]), row["expires_at"]) for row in rows]
