"""Comparison of two read-model versions, session by session, in one statement."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from parley_history.storage.database import Connection

# Covers a session's row, messages, usage and deferred events, in any order, but no log offsets:
# these change when the topic is recreated.
_DIGESTS = """
SELECT id, max(version) AS version, count(*) FILTER (WHERE kind = 'deferred') AS deferred,
    count(*) FILTER (WHERE kind = 'message') AS messages, bit_xor(hash) AS digest
FROM (
    SELECT 'session' AS kind, id, version, hash_record_extended(one, 0) AS hash
    FROM {schema}.sessions AS one WHERE $1::uuid[] IS NULL OR id = ANY($1)
    UNION ALL
    SELECT 'message', session_id, NULL, hash_record_extended(one, 0)
    FROM {schema}.messages AS one WHERE $1::uuid[] IS NULL OR session_id = ANY($1)
    UNION ALL
    SELECT 'usage', session_id, NULL, hash_record_extended(one, 0)
    FROM {schema}.usage AS one WHERE $1::uuid[] IS NULL OR session_id = ANY($1)
    UNION ALL
    SELECT 'deferred', session_id, NULL,
        hash_record_extended(ROW (session_id, sequence, key, headers::text, value), 0)
    FROM {schema}.deferred_events WHERE $1::uuid[] IS NULL OR session_id = ANY($1)
) AS rows GROUP BY id
"""
_COMPARE = """
WITH live AS ({live_digests}),
rebuilt AS ({rebuilt_digests}),
pairs AS MATERIALIZED (
    SELECT id, live.digest AS live, rebuilt.digest AS rebuilt,
        coalesce(live.messages, 0) AS live_messages,
        coalesce(rebuilt.messages, 0) AS rebuilt_messages,
        CASE
            WHEN ROW (live.version, live.deferred) IS NOT DISTINCT FROM
                ROW (rebuilt.version, rebuilt.deferred) THEN 'same'
            WHEN ROW (coalesce(live.version, 0), coalesce(live.deferred, 0)) <
                ROW (coalesce(rebuilt.version, 0), coalesce(rebuilt.deferred, 0)) THEN 'ahead'
            ELSE 'behind'
        END AS relation
    FROM live FULL JOIN rebuilt USING (id)
    WHERE NOT EXISTS (SELECT FROM {live}.dead_letters WHERE session_id = id)
)
SELECT count(*) FILTER (WHERE relation = 'same') AS sessions,
    coalesce(sum(live_messages) FILTER (WHERE relation = 'same'), 0)::bigint AS live_messages,
    coalesce(sum(rebuilt_messages) FILTER (WHERE relation = 'same'), 0)::bigint AS rebuilt_messages,
    bit_xor(live) FILTER (WHERE relation = 'same') AS live_checksum,
    bit_xor(rebuilt) FILTER (WHERE relation = 'same') AS rebuilt_checksum,
    count(*) FILTER (WHERE relation = 'same' AND live <> rebuilt) AS different,
    ARRAY(
        SELECT id FROM pairs WHERE relation = 'same' AND live <> rebuilt ORDER BY id LIMIT $2
    ) AS different_ids,
    count(*) FILTER (WHERE relation = 'behind') AS behind,
    ARRAY(SELECT id FROM pairs WHERE relation = 'behind' ORDER BY id LIMIT $2) AS behind_ids,
    count(*) FILTER (WHERE relation = 'ahead') AS ahead,
    ARRAY(SELECT id FROM pairs WHERE relation = 'ahead' ORDER BY id LIMIT $2) AS ahead_ids,
    (
        SELECT count(DISTINCT session_id) FROM {live}.dead_letters
        WHERE $1::uuid[] IS NULL OR session_id = ANY($1)
    ) AS parked
FROM pairs
"""
_WORK_MEMORY = "SET LOCAL work_mem = '256MB'"
_CHECKSUM = "SELECT bit_xor(digest) FROM ({digests}) AS sessions"


class Comparison(Struct, frozen=True):
    """Counts and checksums cover the `sessions` that are at the same event in both versions.

    Of these, `different` have different rows. In other sessions the rebuilt version is `behind` or
    `ahead`. Sessions that are parked in the live version are not compared.
    """

    sessions: int
    live_messages: int
    rebuilt_messages: int
    live_checksum: int | None
    rebuilt_checksum: int | None
    different: int
    different_ids: list[UUID]
    behind: int
    behind_ids: list[UUID]
    ahead: int
    ahead_ids: list[UUID]
    parked: int


async def compare(
    connection: Connection,
    live: int,
    rebuilt: int,
    *,
    max_ids: int,
    sessions: Sequence[UUID] | None = None,
) -> Comparison:
    """Compare all sessions, or those given, and list up to `max_ids` of each kind."""
    statement = _COMPARE.format(
        live=_schema(live),
        live_digests=_DIGESTS.format(schema=_schema(live)),
        rebuilt_digests=_DIGESTS.format(schema=_schema(rebuilt)),
    )
    async with connection.transaction():
        await connection.execute(_WORK_MEMORY)
        row = await connection.fetchrow(statement, sessions, max_ids)
    assert row is not None
    return Comparison(**dict(row.items()))


async def checksum(connection: Connection, version: int) -> str:
    """Return the checksum of all rows of the version."""
    statement = _CHECKSUM.format(digests=_DIGESTS.format(schema=_schema(version)))
    async with connection.transaction():
        await connection.execute(_WORK_MEMORY)
        return hexadecimal(await connection.fetchval(statement, None))


def hexadecimal(checksum: int | None) -> str:
    return f"{(checksum or 0) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _schema(version: int) -> str:
    return f"read_model_{version}"
