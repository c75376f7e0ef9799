"""How a rebuild reads and writes the rows of a batch: few reads, no notifications, no parking."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from msgspec.structs import astuple

from parley_history.domain.batch import Batch, BatchState, DeadLetter
from parley_history.domain.rows import SessionRow, TurnOfMessage
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.storage.projection_tables import (
    Connection,
    erase_messages,
    link_turns,
    read_known,
    write_rows,
)
from parley_history.storage.versions import version_entered


class RebuildRows:
    """Remembers the sessions that it wrote last: true as long as nobody else moves the positions.

    At most `most_remembered`; of any other, the row is read from its table.
    """

    def __init__(
        self,
        *,
        bulk: bool = False,
        parks: bool = False,
        most_remembered: int,
        touched: set[UUID] | None = None,
    ) -> None:
        """`touched`, where given, collects the ids of all sessions that came by."""
        self._bulk, self._parks, self._most = bulk, parks, most_remembered
        self._touched = touched
        self._sessions: OrderedDict[UUID, SessionRow] = OrderedDict()

    def forget(self) -> None:
        self._sessions.clear()

    @asynccontextmanager
    async def entered(
        self, connection: "Connection[asyncpg.Record]", version: int
    ) -> AsyncIterator[None]:
        """A transaction in the version's tables; when it fails, nothing of it is remembered."""
        try:
            async with version_entered(connection, version):
                yield
        except BaseException:
            self.forget()
            raise

    async def read(
        self, connection: "Connection[asyncpg.Record]", session_ids: Collection[UUID]
    ) -> BatchState:
        if self._touched is not None:
            self._touched.update(session_ids)
        return await read_known(connection, session_ids, self._sessions)

    async def write(self, connection: "Connection[asyncpg.Record]", batch: Batch) -> None:
        if batch.newly_parked and not self._parks:
            raise RebuildAborted(_in_the_way(batch.newly_parked[0]))
        await write_rows(connection, batch)
        if batch.erased and not self._bulk:  # Else at the end: no message can be found before.
            await erase_messages(connection, batch.erased)
        if batch.turns and self._bulk:
            await connection.copy_records_to_table(
                "turn_links",
                columns=TurnOfMessage.__struct_fields__,
                records=map(astuple, batch.turns),
            )
        elif batch.turns:
            await link_turns(connection, batch.turns)
        self._remember(batch.sessions)

    def _remember(self, sessions: dict[UUID, SessionRow]) -> None:
        for session_id, row in sessions.items():
            self._sessions[session_id] = row
            self._sessions.move_to_end(session_id)
        while len(self._sessions) > self._most:
            self._sessions.popitem(last=False)


def _in_the_way(letter: DeadLetter) -> str:
    arrival = letter.arrival
    place = f"{arrival.partition}:{arrival.offset}"
    session = f"session {arrival.session_id}" if arrival.session_id else "no session"
    return (
        f"The record at partition {arrival.partition}, offset {arrival.offset} ({session}) cannot "
        f"be projected: {letter.error}. Nothing of its batch was kept. Mend the cause and run this "
        "again, which goes on from here; or have the record change nothing: "
        f"`parley log dead-letters discard {place} --reason …`."
    )
