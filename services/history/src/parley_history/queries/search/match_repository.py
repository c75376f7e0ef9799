"""Repository of search matches: messages that contain all tokens, newest first."""

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

# Frequent words occur in recent messages, so these are scanned first: the index would return all
# messages with such a word, which would then have to be sorted.
_RECENT_MESSAGES = 1_000

_MATCH_TEMPLATE = """
WITH candidates AS MATERIALIZED ({candidates})
SELECT session.title, session.title_event_id, message.*
FROM (
    SELECT session_id, message_id, said_at FROM candidates
    WHERE {matches} AND ($6::uuid IS NULL OR session_id = $6)
    ORDER BY said_at DESC, message_id DESC
) AS matched
CROSS JOIN LATERAL (
    SELECT title, title_event_id FROM sessions
    WHERE id = matched.session_id AND tenant = $1 AND owner = $2 AND NOT deleted
        AND erased_at IS NULL AND ($7::text IS NULL OR assistant_id = $7)
    LIMIT 1
) AS session
CROSS JOIN LATERAL (
    SELECT {columns} FROM messages
    WHERE session_id = matched.session_id AND id = matched.message_id
    LIMIT 1
) AS message
LIMIT $8
"""
_MATCH_RECENT = _MATCH_TEMPLATE.format(
    candidates="""
    SELECT session_id, message_id, said_at, tokens FROM search_messages
    WHERE tenant = $1 AND owner = $2 AND (said_at, message_id) < ($3, $4)
    ORDER BY said_at DESC, message_id DESC LIMIT $9
    """,
    matches="tokens @> $5",
    columns=MESSAGE_COLUMNS,
)
_MATCH_ALL = _MATCH_TEMPLATE.format(
    candidates="""
    SELECT session_id, message_id, tenant, owner, said_at FROM search_messages WHERE tokens @> $5
    """,
    matches="tenant = $1 AND owner = $2 AND (said_at, message_id) < ($3, $4)",
    columns=MESSAGE_COLUMNS,
)
_READ_CURSOR = """
SELECT said_at, message_id FROM search_messages
WHERE message_id = $1 AND tenant = $2 AND owner = $3
ORDER BY said_at LIMIT 1
"""


class SearchCursor(NamedTuple):
    """A position in the order of matches; only older matches follow it."""

    said_at: datetime
    message_id: UUID


FIRST_PAGE = SearchCursor(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """A message and the sealed title of its session."""

    title: bytes | None
    title_event_id: UUID | None
    message: MessageRow


class MatchRepository:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def cursor_at(self, message_id: UUID, owner: Principal) -> SearchCursor | None:
        """Return the cursor of an indexed message of the owner."""
        row = await self._pool.fetchrow(_READ_CURSOR, message_id, owner.tenant, owner.user)
        return SearchCursor(*row.values()) if row else None

    async def after(
        self,
        cursor: SearchCursor,
        tokens: Sequence[int],
        owner: Principal,
        request: SearchRequest,
    ) -> Sequence[SearchMatch]:
        """Return up to one match more than the limit, which shows whether there are more."""
        limit = request.limit + 1
        arguments = (
            *(owner.tenant, owner.user, *cursor, tokens),
            *(request.session_id, request.assistant_id, limit),
        )
        rows = await self._pool.fetch(_MATCH_RECENT, *arguments, _RECENT_MESSAGES)
        if len(rows) < limit:
            rows = await self._pool.fetch(_MATCH_ALL, *arguments)
        return [SearchMatch(row[0], row[1], MessageRow(*tuple(row)[2:])) for row in rows]
