"""Log positions of a read-model version: the offset of the next record of each partition.

They are the source of truth of the projection's progress, updated in the transaction of its effect.
"""

from collections.abc import Sequence
from typing import NamedTuple

from parley_history.storage.database import Connection

_UPDATE = """
UPDATE positions SET next = changed.next
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS changed (partition, expected, next)
WHERE positions.partition = changed.partition AND positions.next = changed.expected
"""
_INSERT_MISSING = """
INSERT INTO positions (partition, next) SELECT unnest($1::int[]), 0 ON CONFLICT DO NOTHING
"""
_READ = "SELECT partition, next FROM positions WHERE partition = ANY($1::int[])"


class PositionUpdate(NamedTuple):
    """Moves a partition from the expected position to the next."""

    partition: int
    expected: int
    next: int


class PositionConflict(Exception):
    """Another projector has moved a position concurrently; nothing was written."""


async def update_positions(connection: Connection, updates: Sequence[PositionUpdate]) -> None:
    """Compare and set. Raises PositionConflict."""
    if updates:
        status = await connection.execute(_UPDATE, *zip(*sorted(updates), strict=True))
        if status != f"UPDATE {len(updates)}":
            raise PositionConflict


async def read_positions(connection: Connection, partitions: Sequence[int]) -> dict[int, int]:
    """Return the position of each partition; a new partition is inserted with 0."""
    await connection.execute(_INSERT_MISSING, partitions)
    rows = await connection.fetch(_READ, partitions)
    return {row["partition"]: row["next"] for row in rows}
