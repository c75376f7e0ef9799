"""Search indexer: one elected process keeps the index consistent with the read model."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import Field

from parley_contracts.session_api.keys import Person
from parley_core.http.errors import Unavailable
from parley_core.runtime.backoff import Backoff
from parley_core.runtime.settings import SettingsGroup
from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_history.queries.search.dirty_sessions import DirtySessions
from parley_history.queries.search.index_repository import scan_sessions, try_lead
from parley_history.queries.search.index_sessions import SessionIndexer
from parley_history.session_service.key_cache import DataKeyCache, KeyCache
from parley_history.storage.database import Connection, DatabaseSettings, connect
from parley_history.storage.database_errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

# Indexing 100 sessions takes about a second, so that newly changed sessions wait no longer.
SESSIONS_PER_BATCH = 100
# A commit for all changes of this time, rather than one for each message.
LINGER_SECONDS: float = 0.1
# The scan only finds what notifications missed, so it may take its time.
SCAN_INTERVAL_SECONDS: float = 1
RETRY_INITIAL_SECONDS: float = 0.1
RETRY_MAX_SECONDS: float = 1
# A standby takes over this long after the leader's connection ended.
ELECTION_INTERVAL_SECONDS: float = 1
# One statement inserts the tokens of up to 200 messages of 20,000 words.
STATEMENT_TIMEOUT_SECONDS = 30

_FIRST_ID = UUID(int=0)


class SearchSettings(SettingsGroup):
    indexer_enabled: bool = Field(
        default=True, description="true or false: whether this process may index messages"
    )


class Indexer:
    """Indexes the sessions of the change feed, and scans all sessions for those it missed.

    The first scan runs without pauses; later ones read a batch per SCAN_INTERVAL_SECONDS.
    All writes use the connection that holds the leader's lock, so a former leader cannot write.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        dirty_sessions: DirtySessions,
        keys: DataKeyCache,
        search_keys: KeyCache[Person],
        registry: CollectorRegistry,
    ) -> None:
        self._database, self._dirty = database, dirty_sessions
        self._keys, self._search_keys = keys, search_keys
        self._is_leader = False
        self._indexed_messages = Counter(
            "parley_history_search_indexed_messages",
            "Messages indexed by this process.",
            registry=registry,
        )
        lag = Gauge(
            "parley_history_search_index_lag_seconds",
            "Age of the oldest change that is not indexed yet; 0 unless this process leads.",
            registry=registry,
        )
        lag.set_function(lambda: self._dirty.oldest_seconds if self._is_leader else 0.0)

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
        while True:
            try:
                await self._stand_for_election(backoff)
            except DATABASE_ERRORS as error:
                log.warning("search indexer paused, retrying: %s", type(error).__name__)
            await asyncio.sleep(backoff.next_delay() or 0)

    async def _stand_for_election(self, backoff: Backoff) -> NoReturn:
        connection = await connect(
            self._database,
            "parley-search",
            statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
            server_settings=FAST_KEEPALIVES,
        )
        try:
            while True:
                if await try_lead(connection):
                    await self._lead(connection, backoff)
                backoff.reset()
                await asyncio.sleep(ELECTION_INTERVAL_SECONDS)
        finally:
            self._is_leader = False
            connection.terminate()

    async def _lead(self, connection: Connection, backoff: Backoff) -> NoReturn:
        self._is_leader = True
        scanned_to, first_scan = _FIRST_ID, True
        self._dirty.missed = False
        while True:
            if self._dirty.missed:
                self._dirty.missed, scanned_to, first_scan = False, _FIRST_ID, True
            timeout, linger = (0, 0) if first_scan else (SCAN_INTERVAL_SECONDS, LINGER_SECONDS)
            changed = await self._dirty.take(SESSIONS_PER_BATCH, timeout, linger_seconds=linger)
            if changed:
                await self._index(connection, changed)
                self._dirty.acknowledge()
            else:
                scanned = await scan_sessions(connection, scanned_to, SESSIONS_PER_BATCH)
                await self._index(connection, scanned)
                scanned_to = scanned[-1] if scanned else _FIRST_ID
                first_scan = first_scan and bool(scanned)
            backoff.reset()

    async def _index(self, connection: Connection, session_ids: Sequence[UUID]) -> None:
        """Retry until the sessions are indexed, however long the session service is unavailable."""
        indexer = SessionIndexer(connection, self._keys, self._search_keys)
        backoff = Backoff(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
        while True:
            try:
                self._indexed_messages.inc(await indexer.index(session_ids, uuid4().hex))
                return
            except Unavailable as error:
                log.warning("search indexer paused, retrying: %s", error.code)
                await asyncio.sleep(backoff.next_delay() or 0)
                # Erased sessions are removed meanwhile; a new scan finds the other changes.
                await indexer.remove_unsearchable(await self._dirty.take(SESSIONS_PER_BATCH, 0))
                self._dirty.missed = True
