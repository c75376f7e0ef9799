"""Arrivals become rows, and positions move, in one transaction: the one way into a version."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol
from uuid import UUID

import asyncpg

from parley_history.domain.batch import Batch, BatchState, DeadLetter
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.storage.projection_tables import Connection, read_known, write_batch

# What Postgres will never take, such as a number over its type or a NUL in a text. The first two
# come from asyncpg, which sees some of it before the server does.
UNSTORABLE = (
    ValueError,
    OverflowError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

_MOVE_POSITIONS = """
UPDATE positions SET next = move.next
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS move (partition, expected, next)
WHERE positions.partition = move.partition AND positions.next = move.expected
"""
_BEGIN_POSITIONS = """
INSERT INTO positions (partition, next) SELECT unnest($1::int[]), 0 ON CONFLICT DO NOTHING
"""
_READ_POSITIONS = "SELECT partition, next FROM positions WHERE partition = ANY($1::int[])"

Enter = Callable[["Connection[asyncpg.Record]"], AbstractAsyncContextManager[None]]
"""Opens a transaction in which the tables are those of one version."""


class PositionUpdate(NamedTuple):
    """A partition's position, from the expected one to the next."""

    partition: int
    expected: int
    next: int


class PositionConflict(Exception):
    """Another projector has moved a position meanwhile; nothing was written."""


class Rows(Protocol):
    """How the rows of a batch are read and written, in its transaction."""

    async def read(
        self, connection: "Connection[asyncpg.Record]", session_ids: Collection[UUID]
    ) -> BatchState: ...
    async def write(self, connection: "Connection[asyncpg.Record]", batch: Batch) -> None: ...


class LiveRows:
    """Those of a version that people read."""

    async def read(
        self, connection: "Connection[asyncpg.Record]", session_ids: Collection[UUID]
    ) -> BatchState:
        return await read_known(connection, session_ids)

    async def write(self, connection: "Connection[asyncpg.Record]", batch: Batch) -> None:
        await write_batch(connection, batch)


class BatchApplier:
    def __init__(self, enter: Enter, rows: Rows, most_held: int) -> None:
        self._enter, self._rows, self._most_held = enter, rows, most_held

    async def positions_of(
        self, connection: "Connection[asyncpg.Record]", partitions: Sequence[int]
    ) -> dict[int, int]:
        """The offset of the next record of each partition; 0 for one that is new."""
        async with self._enter(connection):
            await connection.execute(_BEGIN_POSITIONS, partitions)
            rows = await connection.fetch(_READ_POSITIONS, partitions)
        return {row["partition"]: row["next"] for row in rows}

    async def project(
        self,
        connection: "Connection[asyncpg.Record]",
        arrivals: Sequence[IncomingRecord],
        moves: Sequence[PositionUpdate],
    ) -> Sequence[DeadLetter]:
        """Apply the arrivals and move the positions; answers what was parked.

        Raises PositionConflict.
        """
        try:
            return await self._in_one_transaction(connection, arrivals, moves, self._apply)
        except UNSTORABLE:
            return await self._in_one_transaction(
                connection, arrivals, moves, self._apply_one_by_one
            )

    async def _in_one_transaction(
        self,
        connection: "Connection[asyncpg.Record]",
        arrivals: Sequence[IncomingRecord],
        moves: Sequence[PositionUpdate],
        apply: Callable[
            ["Connection[asyncpg.Record]", Sequence[IncomingRecord]],
            Awaitable[Sequence[DeadLetter]],
        ],
    ) -> Sequence[DeadLetter]:
        async with self._enter(connection):
            # First, so that a second projector of the partition waits here, and then is refused.
            await _move(connection, moves)
            return await apply(connection, arrivals)

    async def _apply(
        self, connection: "Connection[asyncpg.Record]", arrivals: Sequence[IncomingRecord]
    ) -> Sequence[DeadLetter]:
        named = {arrival.session_id for arrival in arrivals} - {None}
        known = await self._rows.read(connection, [*filter(None, named)])
        batch = Batch(known, self._most_held)
        for arrival in arrivals:
            batch.take(arrival)
        await self._rows.write(connection, batch)
        return batch.newly_parked

    async def _apply_one_by_one(
        self, connection: "Connection[asyncpg.Record]", arrivals: Sequence[IncomingRecord]
    ) -> Sequence[DeadLetter]:
        """Slow, but what cannot be stored parks its own session alone."""
        parked = list[DeadLetter]()
        for arrival in arrivals:
            try:
                async with connection.transaction():
                    parked += await self._apply(connection, [arrival])
            except UNSTORABLE as error:
                # The class alone: a database's sentence may quote the value.
                refused = arrival.refused(f"it cannot be stored: {type(error).__name__}")
                parked += await self._apply(connection, [refused])
        return parked


async def _move(connection: "Connection[asyncpg.Record]", moves: Sequence[PositionUpdate]) -> None:
    if moves:
        moved = await connection.execute(_MOVE_POSITIONS, *zip(*sorted(moves), strict=True))
        if moved != f"UPDATE {len(moves)}":
            raise PositionConflict
