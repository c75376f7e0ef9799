"""The index of words in Postgres: what it lacks, how it is written, and what it finds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

Connection = asyncpg.Connection

# One page of sessions in order of their ids, whether read or indexed.
_WALK = """
(SELECT id FROM sessions WHERE id > $1 ORDER BY id LIMIT $2)
UNION
(SELECT session_id FROM search_sessions WHERE session_id > $1 ORDER BY session_id LIMIT $2)
ORDER BY id LIMIT $2
"""
_READ_STATES = """
SELECT id, tenant, owner, coalesce(searched, false) AS searched, sessions.version,
    search_sessions.version AS indexed, key_mark
FROM unnest($1::uuid[]) AS named (id)
LEFT JOIN LATERAL (
    SELECT tenant, owner, version,
        erased_at IS NULL AND NOT deleted AND expires_at IS NULL AS searched
    FROM sessions WHERE sessions.id = named.id
) AS sessions ON true
LEFT JOIN search_sessions ON search_sessions.session_id = named.id
"""
# Of more than $4 bytes only the first one.
_NOT_INDEXED = """
SELECT session_id, id, event_id, version, status, said_at, content FROM (
    SELECT found.*, place, sum(size) OVER (ORDER BY place, version) - size AS before
    FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS named (session, indexed, place),
        LATERAL (
            SELECT session_id, id, event_id, version, status, content,
                coalesce(original_time, created_at) AS said_at,
                coalesce(octet_length(content), 0) AS size
            FROM messages WHERE session_id = session AND version > indexed
            ORDER BY version LIMIT $3
        ) AS found
) AS measured
WHERE before < $4 ORDER BY place, version
"""
_REMOVE = """
WITH removed AS (DELETE FROM search_sessions WHERE session_id = $1)
DELETE FROM search_messages WHERE session_id = $1
"""
_ADD = """
INSERT INTO search_messages (session_id, message_id, tenant, owner, said_at, tokens)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_MOVE = """
INSERT INTO search_sessions (session_id, version, key_mark) VALUES ($1, $2, $3)
ON CONFLICT (session_id) DO UPDATE SET version = excluded.version, key_mark = excluded.key_mark
"""


class State(NamedTuple):
    """How far a session is, and how far it is indexed, under which key.

    Where it is not `searched`, there must be nothing of it; tenant, owner and version may be None.
    """

    id: UUID
    tenant: str
    owner: str
    searched: bool
    version: int
    indexed: int | None
    key_mark: int | None


class Unindexed(NamedTuple):
    session_id: UUID
    id: UUID
    event_id: UUID
    version: int
    status: str
    said_at: datetime
    content: bytes | None


class Indexed(NamedTuple):
    session_id: UUID
    id: UUID
    tenant: str
    owner: str
    said_at: datetime
    tokens: Sequence[int]


class Reached(NamedTuple):
    """Up to which version a session is indexed, under which key."""

    session_id: UUID
    version: int
    key_mark: int


async def walk(connection: "Connection[asyncpg.Record]", after: UUID, most: int) -> Sequence[UUID]:
    return [row["id"] for row in await connection.fetch(_WALK, after, most)]


async def states_of(
    connection: "Connection[asyncpg.Record]", session_ids: Sequence[UUID]
) -> Sequence[State]:
    return [State(*row.values()) for row in await connection.fetch(_READ_STATES, session_ids)]


async def not_indexed(
    connection: "Connection[asyncpg.Record]", indexed: Mapping[UUID, int], most: int, bytes: int
) -> Sequence[Unindexed]:
    """The next messages of sessions, one session after the other in their order.

    Each is indexed up to a version. At most so many of each, and so many bytes of all unless it is
    one message.
    """
    rows = await connection.fetch(_NOT_INDEXED, [*indexed], [*indexed.values()], most, bytes)
    return [Unindexed(*row.values()) for row in rows]


async def remove(connection: "Connection[asyncpg.Record]", session_id: UUID) -> None:
    await connection.execute(_REMOVE, session_id)


async def add(
    connection: "Connection[asyncpg.Record]",
    messages: Sequence[Indexed],
    reached: Sequence[Reached],
) -> None:
    """Add messages, and note how far their sessions are indexed by then: all in one commit."""
    async with connection.transaction():
        await connection.executemany(_ADD, messages)
        await connection.executemany(_MOVE, reached)
