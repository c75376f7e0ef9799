"""Keeps the index of words as the read model is: one process at a time does it for all."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID, uuid4

import asyncpg

from parley_core.http.errors import Unavailable
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_history.queries.search import index_repository as tables
from parley_history.queries.search.dirty_sessions import DirtySessions
from parley_history.queries.search.index_sessions import SessionIndexer
from parley_history.session_service.client import Person
from parley_history.session_service.key_cache import DataKeyCache, KeyCache
from parley_history.storage.database_errors import DATABASE_TROUBLE

log = logging.getLogger(__name__)

# Any constant does; every process that serves history asks for the same lock.
_LEAD = "SELECT pg_try_advisory_lock(0x736561726368)"

# A leader whose machine vanished must not lead on for Linux's two hours.
_CONNECTION_SETTINGS = {
    "application_name": "parley-search",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
}
_FIRST = UUID(int=0)


class Indexer:
    """It hears what moves, and walks through all sessions for what it did not hear.

    The first walk goes on without a pause; later ones look at one page of sessions now and then.
    All that it does goes over the connection that holds the lock: who lost it writes nothing more.
    """

    def __init__(
        self,
        database: str,
        moved: DirtySessions,
        keys: DataKeyCache,
        search_keys: KeyCache[Person],
        *,
        seconds: float,
        pause_seconds: float,
        walk_seconds: float,
        sessions: int,
    ) -> None:
        self._database, self._moved = database, moved
        self._keys, self._search_keys = keys, search_keys
        self._seconds, self._pause_seconds = seconds, pause_seconds
        self._walk_seconds, self._sessions = walk_seconds, sessions
        self._leads = False
        self.messages = 0

    @property
    def lag_seconds(self) -> float:
        """For how long what moved first is not indexed yet; only who indexes knows."""
        return self._moved.oldest_seconds if self._leads else 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._over_one_connection()
            except DATABASE_TROUBLE as trouble:
                log.warning("the words cannot be indexed now: %s", type(trouble).__name__)
            except Exception as surprise:
                # The index may lag; who reads and who serves must not end for it.
                log_unexpected_error(log, "the words cannot be indexed", surprise)
            await asyncio.sleep(self._pause_seconds)

    async def _over_one_connection(self) -> None:
        connection = await asyncpg.connect(
            self._database,
            timeout=self._seconds,
            command_timeout=self._seconds,
            server_settings=_CONNECTION_SETTINGS,
        )
        try:
            while True:
                if await connection.fetchval(_LEAD):
                    await self._lead(connection)
                await asyncio.sleep(self._pause_seconds)
        finally:
            self._leads = False
            connection.terminate()

    async def _lead(self, connection: "tables.Connection[asyncpg.Record]") -> NoReturn:
        self._leads = True
        after, hurries = _FIRST, True
        self._moved.missed = False
        while True:
            if self._moved.missed:
                self._moved.missed, after, hurries = False, _FIRST, True
            heard = await self._moved.next(self._sessions, 0 if hurries else self._walk_seconds)
            if heard:
                await self._index(connection, heard)
                self._moved.done()
                continue
            walked = await tables.walk(connection, after, self._sessions)
            await self._index(connection, walked)
            after = walked[-1] if walked else _FIRST
            hurries = hurries and bool(walked)

    async def _index(
        self, connection: "tables.Connection[asyncpg.Record]", session_ids: Sequence[UUID]
    ) -> None:
        """Return when they are all indexed as they are now, however long session is away."""
        indexing = SessionIndexer(connection, self._keys, self._search_keys)
        while True:
            try:
                self.messages += await indexing.index(session_ids, uuid4().hex)
                return
            except Unavailable as trouble:
                log.warning("the words cannot be indexed now: %s", trouble.code)
                await asyncio.sleep(self._pause_seconds)
                # What is erased meanwhile must go all the same; the rest is looked for later.
                await indexing.forget(await self._moved.next(self._sessions, 0))
                self._moved.missed = True
