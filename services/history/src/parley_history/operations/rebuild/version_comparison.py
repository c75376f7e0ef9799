"""Two versions compared, session by session, as one statement sees them."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct

from parley_history.storage.projection_tables import Connection

# Over the session's row, its messages, its usage and what is held for it, in any order. Places in
# the log are left out: a topic that was made again has others.
_DIGESTS = """
SELECT id, max(version) AS version, count(*) FILTER (WHERE kind = 'held') AS held,
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
    SELECT 'held', session_id, NULL,
        hash_record_extended(ROW (session_id, sequence, key, headers::text, value), 0)
    FROM {schema}.held_events WHERE $1::uuid[] IS NULL OR session_id = ANY($1)
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
            WHEN ROW (live.version, live.held) IS NOT DISTINCT FROM
                ROW (rebuilt.version, rebuilt.held) THEN 'same'
            WHEN ROW (coalesce(live.version, 0), coalesce(live.held, 0)) <
                ROW (coalesce(rebuilt.version, 0), coalesce(rebuilt.held, 0)) THEN 'ahead'
            ELSE 'behind'
        END AS place
    FROM live FULL JOIN rebuilt USING (id)
    WHERE NOT EXISTS (SELECT FROM {live}.dead_letters WHERE session_id = id)
)
SELECT count(*) FILTER (WHERE place = 'same') AS sessions,
    coalesce(sum(live_messages) FILTER (WHERE place = 'same'), 0)::bigint AS live_messages,
    coalesce(sum(rebuilt_messages) FILTER (WHERE place = 'same'), 0)::bigint AS rebuilt_messages,
    bit_xor(live) FILTER (WHERE place = 'same') AS live_checksum,
    bit_xor(rebuilt) FILTER (WHERE place = 'same') AS rebuilt_checksum,
    count(*) FILTER (WHERE place = 'same' AND live <> rebuilt) AS different,
    ARRAY(
        SELECT id FROM pairs WHERE place = 'same' AND live <> rebuilt ORDER BY id LIMIT $2
    ) AS different_ids,
    count(*) FILTER (WHERE place = 'behind') AS behind,
    ARRAY(SELECT id FROM pairs WHERE place = 'behind' ORDER BY id LIMIT $2) AS behind_ids,
    count(*) FILTER (WHERE place = 'ahead') AS ahead,
    ARRAY(SELECT id FROM pairs WHERE place = 'ahead' ORDER BY id LIMIT $2) AS ahead_ids,
    (
        SELECT count(DISTINCT session_id) FROM {live}.dead_letters
        WHERE $1::uuid[] IS NULL OR session_id = ANY($1)
    ) AS parked
FROM pairs
"""
_WORK_MEMORY = "SET LOCAL work_mem = '256MB'"
_CHECKSUM = "SELECT bit_xor(digest) FROM ({digests}) AS sessions"


class Comparison(Struct, frozen=True):
    """`sessions` stand at the same event in both; their messages and checksums are told.

    Of those, `different` hold other rows. In the others the rebuilt version is `behind` or `ahead`.
    Sessions that are parked in the live version are left out.
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
    connection: "Connection[asyncpg.Record]",
    live: int,
    rebuilt: int,
    *,
    most_ids: int,
    sessions: Sequence[UUID] | None = None,
) -> Comparison:
    """Compare two versions, in all sessions or in those named; of each kind tell so many ids."""
    statement = _COMPARE.format(
        live=_schema(live),
        live_digests=_DIGESTS.format(schema=_schema(live)),
        rebuilt_digests=_DIGESTS.format(schema=_schema(rebuilt)),
    )
    async with connection.transaction():
        await connection.execute(_WORK_MEMORY)
        row = await connection.fetchrow(statement, sessions, most_ids)
    assert row is not None
    return Comparison(**dict(row.items()))


async def checksum(connection: "Connection[asyncpg.Record]", version: int) -> str:
    """Of everything that the version holds."""
    statement = _CHECKSUM.format(digests=_DIGESTS.format(schema=_schema(version)))
    async with connection.transaction():
        await connection.execute(_WORK_MEMORY)
        return hexadecimal(await connection.fetchval(statement, None))


def hexadecimal(checksum: int | None) -> str:
    return f"{(checksum or 0) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _schema(version: int) -> str:
    return f"read_model_{version}"
