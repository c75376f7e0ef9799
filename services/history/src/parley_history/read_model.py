"""The read model in Postgres, as the projector moves it: a batch and its positions, or neither."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from parley_history.batch_tables import Connection, read_known, write_batch
from parley_history.domain.arrivals import Arrival
from parley_history.domain.batch import Batch, DeadLetter

# A projector whose machine vanished must not hold its partitions' rows for Linux's two hours.
_CONNECTION_SETTINGS = {
    "application_name": "parley-projector",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "10s",
}

# What Postgres will never take, such as a number over its type or a NUL in a text. The first two
# come from asyncpg, which sees some of it before the server does.
_UNSTORABLE = (
    ValueError,
    OverflowError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

_BEGIN_POSITIONS = """
INSERT INTO positions (partition, next) SELECT unnest($1::int[]), 0 ON CONFLICT DO NOTHING
"""
_READ_POSITIONS = "SELECT partition, next FROM positions WHERE partition = ANY($1::int[])"
_MOVE_POSITIONS = """
UPDATE positions SET next = move.next
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS move (partition, expected, next)
WHERE positions.partition = move.partition AND positions.next = move.expected
"""


class Move(NamedTuple):
    """A partition's position, from the expected one to the next."""

    partition: int
    expected: int
    next: int


class PositionMoved(Exception):
    """Another projector has moved a position meanwhile; nothing was written."""


@dataclass(frozen=True, slots=True)
class ReadModelLimits:
    """Seconds and counts; see the settings of the same names."""

    database_seconds: float
    held_events: int


class ReadModel:
    """One connection, made when it is needed; after an error it must be closed."""

    def __init__(self, database: str, limits: ReadModelLimits) -> None:
        self._database, self._limits = database, limits
        self._connection: Connection[asyncpg.Record] | None = None

    async def positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """The offset of the next record of each partition; 0 for one that is new."""
        connection = await self._connected()
        await connection.execute(_BEGIN_POSITIONS, partitions)
        rows = await connection.fetch(_READ_POSITIONS, partitions)
        return {row["partition"]: row["next"] for row in rows}

    async def project(
        self, arrivals: Sequence[Arrival], moves: Sequence[Move]
    ) -> Sequence[DeadLetter]:
        """Apply the arrivals and move the positions, in one transaction; answers what was parked.

        Raises PositionMoved.
        """
        try:
            return await self._in_one_transaction(arrivals, moves, self._apply)
        except _UNSTORABLE:
            return await self._in_one_transaction(arrivals, moves, self._apply_one_by_one)

    async def close(self) -> None:
        """Drop the connection, at once."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def _in_one_transaction(
        self,
        arrivals: Sequence[Arrival],
        moves: Sequence[Move],
        apply: Callable[[Sequence[Arrival]], Awaitable[Sequence[DeadLetter]]],
    ) -> Sequence[DeadLetter]:
        connection = await self._connected()
        async with connection.transaction():
            # First, so that a second projector of the partition waits here, and then is refused.
            moved = await connection.execute(_MOVE_POSITIONS, *zip(*sorted(moves), strict=True))
            if moved != f"UPDATE {len(moves)}":
                raise PositionMoved
            return await apply(arrivals)

    async def _apply(self, arrivals: Sequence[Arrival]) -> Sequence[DeadLetter]:
        connection = await self._connected()
        named = {arrival.session_id for arrival in arrivals} - {None}
        known = await read_known(connection, [*filter(None, named)])
        batch = Batch(known, self._limits.held_events)
        for arrival in arrivals:
            batch.take(arrival)
        await write_batch(connection, batch)
        return batch.newly_parked

    async def _apply_one_by_one(self, arrivals: Sequence[Arrival]) -> Sequence[DeadLetter]:
        """Slow, but what cannot be stored parks its own session alone."""
        connection, parked = await self._connected(), list[DeadLetter]()
        for arrival in arrivals:
            try:
                async with connection.transaction():
                    parked += await self._apply([arrival])
            except _UNSTORABLE as error:
                # The class alone: a database's sentence may quote the value.
                refused = arrival.refused(f"it cannot be stored: {type(error).__name__}")
                parked += await self._apply([refused])
        return parked

    async def _connected(self) -> "Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            seconds = self._limits.database_seconds
            self._connection = await asyncpg.connect(
                self._database,
                timeout=seconds,
                command_timeout=seconds,
                server_settings=_CONNECTION_SETTINGS,
            )
        return self._connection
