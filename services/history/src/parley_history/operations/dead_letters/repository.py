"""The dead letters of the active version, in whose transaction every function here is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from parley_events.cloudevents import Record
from parley_history.domain.discarded_record import record_digest
from parley_history.storage.projection_tables import Connection, record_kept_in

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
_TAKE_OUT = """
DELETE FROM dead_letters USING unnest($1::int[], $2::bigint[]) AS place (partition, "offset")
WHERE dead_letters.partition = place.partition AND dead_letters."offset" = place."offset"
"""
_READ_ERRORS = """
SELECT partition, "offset", error
FROM dead_letters JOIN unnest($1::int[], $2::bigint[]) AS place (partition, "offset")
    USING (partition, "offset")
"""


class Place(NamedTuple):
    """Where in the log a record is."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Group(NamedTuple):
    """Letters that are retried together: those of a session, or one that names none."""

    session_id: UUID | None
    partition: int | None = None
    offset: int | None = None


class Counts(NamedTuple):
    letters: int
    sessions: int


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    place: Place
    session_id: UUID | None
    error: str
    parked_at: datetime
    record: Record

    @property
    def group(self) -> Group:
        return Group(None, *self.place) if self.session_id is None else Group(self.session_id)


async def count(connection: "Connection[asyncpg.Record]") -> Counts:
    [row] = await connection.fetch(_COUNT)
    return Counts(*row.values())


async def list_letters(
    connection: "Connection[asyncpg.Record]", most: int
) -> Sequence[StoredDeadLetter]:
    """The first ones in the order of the log, without their values."""
    return [_letter(row) for row in await connection.fetch(_LIST, most)]


async def list_groups(connection: "Connection[asyncpg.Record]") -> Sequence[Group]:
    return [Group(*row.values()) for row in await connection.fetch(_LIST_GROUPS)]


async def find(connection: "Connection[asyncpg.Record]", place: Place) -> StoredDeadLetter | None:
    row = await connection.fetchrow(_FIND, *place)
    return None if row is None else _letter(row)


async def lock(
    connection: "Connection[asyncpg.Record]", group: Group
) -> Sequence[StoredDeadLetter]:
    """The group's letters in the order of the log, to which no projector adds until the commit."""
    # A projector moves its positions first, so it waits for the transaction here.
    await connection.execute(_LOCK_POSITIONS, *group)
    return [_letter(row) for row in await connection.fetch(_READ_GROUP, *group)]


async def discard(
    connection: "Connection[asyncpg.Record]", letters: Sequence[StoredDeadLetter], reason: str
) -> None:
    """From here on the records have no effect, in this version and in every later one."""
    digests = [record_digest(letter.record) for letter in letters]
    await connection.execute(_DISCARD, *_places(letters), digests, reason)


async def take_out(
    connection: "Connection[asyncpg.Record]", letters: Sequence[StoredDeadLetter]
) -> None:
    await connection.execute(_TAKE_OUT, *_places(letters))


async def errors_of(
    connection: "Connection[asyncpg.Record]", letters: Sequence[StoredDeadLetter]
) -> dict[Place, str]:
    """Why those of the letters that are dead letters still are so."""
    rows = await connection.fetch(_READ_ERRORS, *_places(letters))
    return {Place(row["partition"], row["offset"]): row["error"] for row in rows}


def _letter(row: asyncpg.Record) -> StoredDeadLetter:
    place = Place(row["partition"], row["offset"])
    record = record_kept_in(row)
    return StoredDeadLetter(place, row["session_id"], row["error"], row["parked_at"], record)


def _places(letters: Sequence[StoredDeadLetter]) -> tuple[list[int], list[int]]:
    places = [letter.place for letter in letters]
    return [place.partition for place in places], [place.offset for place in places]
