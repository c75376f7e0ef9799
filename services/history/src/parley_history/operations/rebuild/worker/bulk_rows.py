"""Tables of a version under rebuild: cached session rows, no notifications, no parking."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

from cachetools import LRUCache
from msgspec.structs import astuple

from parley_history.domain.batch import Batch, BatchState, DeadLetter
from parley_history.domain.rows import SessionRow, TurnLink
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.storage.database import Connection
from parley_history.storage.projection_tables import (
    delete_messages,
    link_turns,
    read_batch_state,
    write_rows,
)
from parley_history.storage.versions.schema import version_transaction

# About 100 MB per worker. Rows of other sessions are read from their table.
MAX_CACHED_SESSIONS = 100_000


class RebuildTables:
    """Caches the session rows it wrote last; valid while nobody else moves the positions."""

    def __init__(
        self,
        *,
        bulk: bool = False,
        park_failures: bool = False,
        touched: set[UUID] | None = None,
    ) -> None:
        """`touched` collects the ids of all sessions with incoming records."""
        self._bulk, self._park_failures, self._touched = bulk, park_failures, touched
        self._sessions: LRUCache[UUID, SessionRow] = LRUCache(MAX_CACHED_SESSIONS)

    def clear_cache(self) -> None:
        self._sessions.clear()

    @asynccontextmanager
    async def transaction(self, connection: Connection, version: int) -> AsyncIterator[None]:
        """Open a transaction in the version's tables; a failure clears the cache."""
        try:
            async with version_transaction(connection, version):
                yield
        except BaseException:
            self.clear_cache()
            raise

    async def read(self, connection: Connection, session_ids: Collection[UUID]) -> BatchState:
        if self._touched is not None:
            self._touched.update(session_ids)
        return await read_batch_state(connection, session_ids, self._sessions)

    async def write(self, connection: Connection, batch: Batch) -> None:
        if batch.newly_parked and not self._park_failures:
            raise RebuildAborted(_cannot_apply(batch.newly_parked[0]))
        await write_rows(connection, batch)
        if batch.erased and not self._bulk:  # In bulk at the end, when messages have keys.
            await delete_messages(connection, batch.erased)
        if batch.turn_links and self._bulk:
            await connection.copy_records_to_table(
                "turn_links",
                columns=TurnLink.__struct_fields__,
                records=map(astuple, batch.turn_links),
            )
        elif batch.turn_links:
            await link_turns(connection, batch.turn_links)
        self._sessions.update(batch.sessions)


def _cannot_apply(letter: DeadLetter) -> str:
    incoming = letter.incoming
    location = f"{incoming.partition}:{incoming.offset}"
    session = f"session {incoming.session_id}" if incoming.session_id else "no session"
    return (
        f"The record at partition {incoming.partition}, offset {incoming.offset} ({session}) "
        f"cannot be projected: {letter.error}. Its batch was rolled back. Fix the cause and run "
        "this command again to continue, or discard the record: "
        f"`parley log dead-letters discard {location} --reason …`."
    )
