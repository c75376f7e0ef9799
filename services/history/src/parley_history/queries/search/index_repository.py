"""Repository of the search index: reads its backlog and writes its tokens."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from parley_history.storage.database import Connection

# Arbitrary advisory-lock key, shared by all processes that serve history.
_TRY_LEAD = "SELECT pg_try_advisory_lock(0x736561726368)"
# One page of the sessions that exist or are indexed, in the order of their ids.
_SCAN = """
(SELECT id FROM sessions WHERE id > $1 ORDER BY id LIMIT $2)
UNION
(SELECT session_id FROM search_sessions WHERE session_id > $1 ORDER BY session_id LIMIT $2)
ORDER BY id LIMIT $2
"""
_READ_STATES = """
SELECT id, tenant, owner, coalesce(searchable, false) AS searchable, sessions.version,
    search_sessions.version AS indexed, key_mark
FROM unnest($1::uuid[]) AS named (id)
LEFT JOIN LATERAL (
    SELECT tenant, owner, version,
        erased_at IS NULL AND NOT deleted AND expires_at IS NULL AS searchable
    FROM sessions WHERE sessions.id = named.id
) AS sessions ON true
LEFT JOIN search_sessions ON search_sessions.session_id = named.id
"""
# Messages beyond $4 bytes in total are left out, but never the first one.
_READ_UNINDEXED = """
SELECT session_id, id, event_id, version, status, original_time, created_at, content FROM (
    SELECT unindexed.*, input_order, sum(size) OVER (ORDER BY input_order, version) - size AS before
    FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS named (session, indexed, input_order),
        LATERAL (
            SELECT session_id, id, event_id, version, status, original_time, created_at, content,
                coalesce(octet_length(content), 0) AS size
            FROM messages WHERE session_id = session AND version > indexed
            ORDER BY version LIMIT $3
        ) AS unindexed
) AS measured
WHERE before < $4 ORDER BY input_order, version
"""
_DELETE = """
WITH deleted AS (DELETE FROM search_sessions WHERE session_id = $1)
DELETE FROM search_messages WHERE session_id = $1
"""
_INSERT_MESSAGE = """
INSERT INTO search_messages (session_id, message_id, tenant, owner, said_at, tokens)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_UPSERT_VERSION = """
INSERT INTO search_sessions (session_id, version, key_mark) VALUES ($1, $2, $3)
ON CONFLICT (session_id) DO UPDATE SET version = excluded.version, key_mark = excluded.key_mark
"""


class IndexState(NamedTuple):
    """The version of a session, and the version and search key of its index.

    A session that is not `searchable` must not be indexed; its tenant, owner and version may be
    None.
    """

    id: UUID
    tenant: str
    owner: str
    searchable: bool
    version: int
    indexed_version: int | None
    key_fingerprint: int | None


class UnindexedMessage(NamedTuple):
    session_id: UUID
    id: UUID
    event_id: UUID
    version: int
    status: str
    original_time: datetime | None
    created_at: datetime
    content: bytes | None


class IndexedMessage(NamedTuple):
    session_id: UUID
    id: UUID
    tenant: str
    owner: str
    said_at: datetime
    tokens: Sequence[int]


class IndexedVersion(NamedTuple):
    """The version up to which a session is indexed, and the search key that was used."""

    session_id: UUID
    version: int
    key_fingerprint: int


async def try_lead(connection: Connection) -> bool:
    """Take the lock of the one process that indexes; the connection holds it until it closes."""
    return bool(await connection.fetchval(_TRY_LEAD))


async def scan_sessions(connection: Connection, after: UUID, max_sessions: int) -> Sequence[UUID]:
    """Return the next session ids, of existing and of indexed sessions."""
    return [row["id"] for row in await connection.fetch(_SCAN, after, max_sessions)]


async def read_states(connection: Connection, session_ids: Sequence[UUID]) -> Sequence[IndexState]:
    return [IndexState(*row.values()) for row in await connection.fetch(_READ_STATES, session_ids)]


async def read_unindexed(
    connection: Connection, indexed: Mapping[UUID, int], max_messages: int, max_bytes: int
) -> Sequence[UnindexedMessage]:
    """Return the messages after the indexed version of each session, session by session.

    Returns at most `max_messages` of each session, and at most `max_bytes` of all content unless
    that is a single message.
    """
    rows = await connection.fetch(
        _READ_UNINDEXED, [*indexed], [*indexed.values()], max_messages, max_bytes
    )
    return [UnindexedMessage(*row.values()) for row in rows]


async def delete_session(connection: Connection, session_id: UUID) -> None:
    await connection.execute(_DELETE, session_id)


async def add_messages(
    connection: Connection,
    messages: Sequence[IndexedMessage],
    progress: Sequence[IndexedVersion],
) -> None:
    """Insert the messages and the progress of their sessions in one transaction."""
    async with connection.transaction():
        await connection.executemany(_INSERT_MESSAGE, messages)
        await connection.executemany(_UPSERT_VERSION, progress)
