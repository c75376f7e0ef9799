"""The messages that have all the words that are searched for, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.domain.rows import MessageRow
from parley_history.queries.messages.page_sql import MESSAGE_COLUMNS
from parley_history.queries.search.request import SearchRequest

# Words that are in many messages are in some of the newest ones: these are looked through first,
# because what the index finds of such words would have to be sorted as a whole.
_NEWEST = 1_000

_FOUND = """
WITH candidates AS MATERIALIZED ({candidates})
SELECT session.title, session.title_event_id, message.*
FROM (
    SELECT session_id, message_id, said_at FROM candidates
    WHERE {matches} AND ($6::uuid IS NULL OR session_id = $6)
    ORDER BY said_at DESC, message_id DESC
) AS found
CROSS JOIN LATERAL (
    SELECT title, title_event_id FROM sessions
    WHERE id = found.session_id AND tenant = $1 AND owner = $2 AND NOT deleted
        AND erased_at IS NULL AND ($7::text IS NULL OR assistant_id = $7)
    LIMIT 1
) AS session
CROSS JOIN LATERAL (
    SELECT {columns} FROM messages
    WHERE session_id = found.session_id AND id = found.message_id
    LIMIT 1
) AS message
LIMIT $8
"""
_AMONG_THE_NEWEST = _FOUND.format(
    candidates="""
    SELECT session_id, message_id, said_at, tokens FROM search_messages
    WHERE tenant = $1 AND owner = $2 AND (said_at, message_id) < ($3, $4)
    ORDER BY said_at DESC, message_id DESC LIMIT $9
    """,
    matches="tokens @> $5",
    columns=MESSAGE_COLUMNS,
)
_AMONG_ALL = _FOUND.format(
    candidates="""
    SELECT session_id, message_id, tenant, owner, said_at FROM search_messages WHERE tokens @> $5
    """,
    matches="tenant = $1 AND owner = $2 AND (said_at, message_id) < ($3, $4)",
    columns=MESSAGE_COLUMNS,
)
_PLACE = """
SELECT said_at, message_id FROM search_messages
WHERE message_id = $1 AND tenant = $2 AND owner = $3
ORDER BY said_at LIMIT 1
"""


class Place(NamedTuple):
    said_at: datetime
    message_id: UUID


NOWHERE_YET = Place(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """A message, and its session's title as it is stored."""

    title: bytes | None
    title_event_id: UUID | None
    message: MessageRow


class MatchRepository:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def place_of(self, message_id: UUID, person: Principal) -> Place | None:
        """Where the message is in the order of what is found."""
        row = await self._pool.fetchrow(_PLACE, message_id, person.tenant, person.user)
        return Place(*row.values()) if row else None

    async def after(
        self, place: Place, tokens: Sequence[int], person: Principal, asked: SearchRequest
    ) -> Sequence[SearchMatch]:
        """One more than asked for where there are more."""
        wanted = asked.limit + 1
        arguments = (
            *(person.tenant, person.user, *place, tokens),
            *(asked.session_id, asked.assistant_id, wanted),
        )
        rows = await self._pool.fetch(_AMONG_THE_NEWEST, *arguments, _NEWEST)
        if len(rows) < wanted:
            rows = await self._pool.fetch(_AMONG_ALL, *arguments)
        return [SearchMatch(row[0], row[1], MessageRow(*tuple(row)[2:])) for row in rows]
