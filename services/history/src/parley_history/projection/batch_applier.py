"""Batch applier: writes the rows of incoming records and their positions in one transaction.

Every writer of a read-model version goes through it: projector, rebuild and dead-letter retry.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

import asyncpg

from parley_history.domain.batch import Batch, BatchState, DeadLetter
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.storage.database import Connection
from parley_history.storage.positions import PositionUpdate, read_positions, update_positions
from parley_history.storage.projection_tables import read_batch_state, write_batch

# Values that Postgres can never store, such as a number out of range or a NUL in a text. asyncpg
# raises the first two before the server sees the value.
UNSTORABLE = (
    ValueError,
    OverflowError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

EnterVersion = Callable[[Connection], AbstractAsyncContextManager[None]]
"""Opens a transaction in the tables of one version."""


class BatchTables(Protocol):
    """Reads and writes the rows of a batch in its transaction; a rebuild has its own."""

    async def read(self, connection: Connection, session_ids: Collection[UUID]) -> BatchState: ...
    async def write(self, connection: Connection, batch: Batch) -> None: ...


class LiveTables:
    """The tables of a version that serves readers."""

    async def read(self, connection: Connection, session_ids: Collection[UUID]) -> BatchState:
        return await read_batch_state(connection, session_ids)

    async def write(self, connection: Connection, batch: Batch) -> None:
        await write_batch(connection, batch)


class BatchApplier:
    def __init__(self, enter: EnterVersion, tables: BatchTables, max_deferred: int) -> None:
        self._enter, self._tables, self._max_deferred = enter, tables, max_deferred

    async def positions_of(
        self, connection: Connection, partitions: Sequence[int]
    ) -> dict[int, int]:
        """Return the offset of the next record of each partition; 0 for a new one."""
        async with self._enter(connection):
            return await read_positions(connection, partitions)

    async def apply(
        self,
        connection: Connection,
        records: Sequence[IncomingRecord],
        updates: Sequence[PositionUpdate],
    ) -> Sequence[DeadLetter]:
        """Apply the records, update the positions and return the records that parked a session.

        Raises PositionConflict.
        """
        try:
            return await self._in_one_transaction(connection, records, updates, self._apply)
        except UNSTORABLE:
            return await self._in_one_transaction(
                connection, records, updates, self._apply_one_by_one
            )

    async def _in_one_transaction(
        self,
        connection: Connection,
        records: Sequence[IncomingRecord],
        updates: Sequence[PositionUpdate],
        apply: Callable[[Connection, Sequence[IncomingRecord]], Awaitable[Sequence[DeadLetter]]],
    ) -> Sequence[DeadLetter]:
        async with self._enter(connection):
            # First, so that a concurrent projector of the partition waits here and then fails.
            await update_positions(connection, updates)
            return await apply(connection, records)

    async def _apply(
        self, connection: Connection, records: Sequence[IncomingRecord]
    ) -> Sequence[DeadLetter]:
        session_ids = {incoming.session_id for incoming in records} - {None}
        state = await self._tables.read(connection, [*filter(None, session_ids)])
        batch = Batch(state, self._max_deferred)
        for incoming in records:
            batch.add(incoming)
        await self._tables.write(connection, batch)
        return batch.newly_parked

    async def _apply_one_by_one(
        self, connection: Connection, records: Sequence[IncomingRecord]
    ) -> Sequence[DeadLetter]:
        """Slow, but an unstorable value parks only its own session."""
        parked = list[DeadLetter]()
        for incoming in records:
            try:
                async with connection.transaction():
                    parked += await self._apply(connection, [incoming])
            except UNSTORABLE as error:
                # Only the class: the message of a database error may quote the value.
                rejected = incoming.rejected(f"it cannot be stored: {type(error).__name__}")
                parked += await self._apply(connection, [rejected])
        return parked
