"""Pages of a session's messages, read from the read model: each page is one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_core.pool import Pool
from parley_core.principal import Principal
from parley_history.domain.rows import MessageRow
from parley_history.page_request import PageRequest

# What follows the first two columns are the first ones of a MessageRow, in its order.
_READ_OLDER = """
SELECT sessions.version AS session_version, edge.version AS edge, message.*
FROM sessions
LEFT JOIN messages AS edge ON edge.session_id = sessions.id AND edge.id = $4
LEFT JOIN LATERAL (
    SELECT session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
        model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated
    FROM messages
    WHERE session_id = sessions.id AND version < coalesce(edge.version, 2147483647)
    ORDER BY version DESC LIMIT $5
) AS message ON true
WHERE sessions.id = $1 AND sessions.tenant = $2 AND sessions.owner = $3
ORDER BY message.version DESC
"""
_READ_NEWER = """
SELECT sessions.version AS session_version, edge.version AS edge, message.*
FROM sessions
LEFT JOIN messages AS edge ON edge.session_id = sessions.id AND edge.id = $4
LEFT JOIN LATERAL (
    SELECT session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
        model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated
    FROM messages
    WHERE session_id = sessions.id AND version > coalesce(edge.version, 0)
    ORDER BY version ASC LIMIT $5
) AS message ON true
WHERE sessions.id = $1 AND sessions.tenant = $2 AND sessions.owner = $3
ORDER BY message.version ASC
"""
_READ_VERSION = "SELECT version FROM sessions WHERE id = $1"


@dataclass(frozen=True, slots=True)
class StoredPage:
    """`version` is the projected one of the session; `messages` are in the order asked for.

    Unless `cursor_known`, the session has no message with the cursor's id: not a page at all.
    """

    version: int
    messages: Sequence[MessageRow]
    has_more: bool
    cursor_known: bool = True


class Pages:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(
        self, session_id: UUID, person: Principal, asked: PageRequest
    ) -> StoredPage | None:
        """A page, or None where this person has no such session."""
        statement = _READ_OLDER if asked.older else _READ_NEWER
        # One message more than asked for tells whether there are more.
        rows = await self._pool.fetch(
            statement, session_id, person.tenant, person.user, asked.cursor, asked.limit + 1
        )
        if not rows:
            return None
        messages = [MessageRow(*tuple(row)[2:]) for row in rows if row["id"]]
        page = messages[: asked.limit]
        if asked.older != asked.newest_first:
            page.reverse()
        return StoredPage(
            version=rows[0]["session_version"],
            messages=page,
            has_more=len(messages) > asked.limit,
            cursor_known=asked.cursor is None or rows[0]["edge"] is not None,
        )

    async def version(self, session_id: UUID) -> int:
        """The projected version of anyone's session; 0 while it is not projected."""
        version: int | None = await self._pool.fetchval(_READ_VERSION, session_id)
        return version or 0
