"""Repository of dead letters. Every call needs a transaction in a read-model version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from parley_events.cloudevents import Record
from parley_history.domain.discarded_record import record_digest
from parley_history.storage.database import Connection
from parley_history.storage.projection_tables import stored_record

_COUNT = "SELECT count(*) AS letters, count(DISTINCT session_id) AS sessions FROM dead_letters"
_LIST = """
SELECT partition, "offset", session_id, error, parked_at, key, headers, ''::bytea AS value
FROM dead_letters ORDER BY partition, "offset" LIMIT $1
"""
_FIND = """
SELECT partition, "offset", session_id, error, parked_at, key, headers, value
FROM dead_letters WHERE partition = $1 AND "offset" = $2
"""
_LIST_GROUPS = """
SELECT session_id, NULL::int AS partition, NULL::bigint AS "offset"
FROM dead_letters WHERE session_id IS NOT NULL GROUP BY session_id
UNION ALL
SELECT NULL, partition, "offset" FROM dead_letters WHERE session_id IS NULL
"""
_LOCK_POSITIONS = """
SELECT FROM positions WHERE partition IN (
    SELECT partition FROM dead_letters
    WHERE session_id = $1 OR (session_id IS NULL AND partition = $2 AND "offset" = $3)
)
ORDER BY partition FOR UPDATE
"""
_READ_GROUP = """
SELECT partition, "offset", session_id, error, parked_at, key, headers, value
FROM dead_letters
WHERE session_id = $1 OR (session_id IS NULL AND partition = $2 AND "offset" = $3)
ORDER BY partition, "offset"
"""
_DISCARD = """
INSERT INTO public.discarded_records (
    digest, partition, "offset", session_id, error, reason, key, headers, value
)
SELECT digest, partition, "offset", session_id, error, $4, key, headers, value
FROM dead_letters
JOIN unnest($1::int[], $2::bigint[], $3::bytea[]) AS chosen (partition, "offset", digest)
    USING (partition, "offset")
ON CONFLICT DO NOTHING
"""
_DELETE = """
DELETE FROM dead_letters USING unnest($1::int[], $2::bigint[]) AS location (partition, "offset")
WHERE dead_letters.partition = location.partition
    AND dead_letters."offset" = location."offset"
"""
_READ_ERRORS = """
SELECT partition, "offset", error
FROM dead_letters JOIN unnest($1::int[], $2::bigint[]) AS location (partition, "offset")
    USING (partition, "offset")
"""


class RecordLocation(NamedTuple):
    """The partition and offset of a record in the log."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class RetryGroup(NamedTuple):
    """Dead letters retried together: those of a session, or a single one without a session."""

    session_id: UUID | None
    partition: int | None = None
    offset: int | None = None


class Counts(NamedTuple):
    letters: int
    sessions: int


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    location: RecordLocation
    session_id: UUID | None
    error: str
    parked_at: datetime
    record: Record

    @property
    def group(self) -> RetryGroup:
        if self.session_id is None:
            return RetryGroup(None, *self.location)
        return RetryGroup(self.session_id)


async def count(connection: Connection) -> Counts:
    [row] = await connection.fetch(_COUNT)
    return Counts(*row.values())


async def list_letters(connection: Connection, limit: int) -> Sequence[StoredDeadLetter]:
    """Return the first dead letters in log order, without their values."""
    return [_dead_letter(row) for row in await connection.fetch(_LIST, limit)]


async def list_groups(connection: Connection) -> Sequence[RetryGroup]:
    return [RetryGroup(*row.values()) for row in await connection.fetch(_LIST_GROUPS)]


async def find(connection: Connection, location: RecordLocation) -> StoredDeadLetter | None:
    row = await connection.fetchrow(_FIND, *location)
    return None if row is None else _dead_letter(row)


async def lock_group(connection: Connection, group: RetryGroup) -> Sequence[StoredDeadLetter]:
    """Return the group in log order; until the commit, no projector can add to it."""
    # A projector updates its positions first, so it waits here for the end of the transaction.
    await connection.execute(_LOCK_POSITIONS, *group)
    return [_dead_letter(row) for row in await connection.fetch(_READ_GROUP, *group)]


async def mark_discarded(
    connection: Connection, letters: Sequence[StoredDeadLetter], reason: str
) -> None:
    """Record that the records have no effect, in this version and every later one."""
    digests = [record_digest(letter.record) for letter in letters]
    await connection.execute(_DISCARD, *_locations(letters), digests, reason)


async def delete_letters(connection: Connection, letters: Sequence[StoredDeadLetter]) -> None:
    await connection.execute(_DELETE, *_locations(letters))


async def read_errors(
    connection: Connection, letters: Sequence[StoredDeadLetter]
) -> dict[RecordLocation, str]:
    """Return the errors of those records that are dead letters again."""
    rows = await connection.fetch(_READ_ERRORS, *_locations(letters))
    return {RecordLocation(row["partition"], row["offset"]): row["error"] for row in rows}


def _dead_letter(row: asyncpg.Record) -> StoredDeadLetter:
    location = RecordLocation(row["partition"], row["offset"])
    record = stored_record(row)
    return StoredDeadLetter(location, row["session_id"], row["error"], row["parked_at"], record)


def _locations(letters: Sequence[StoredDeadLetter]) -> tuple[list[int], list[int]]:
    locations = [letter.location for letter in letters]
    return [each.partition for each in locations], [each.offset for each in locations]
