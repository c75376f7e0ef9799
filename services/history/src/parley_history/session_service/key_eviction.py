"""Evicts the data keys of deleted and erased sessions as soon as the deletion is projected."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from uuid import UUID

from parley_core.runtime.backoff import Backoff
from parley_core.storage.postgres_pool import Pool
from parley_history.session_service.key_cache import DataKeyCache
from parley_history.storage.closed_sessions import closed_sessions
from parley_history.storage.database_errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

_BATCH_SIZE = 1_000
_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS = 0.1, 1.0


class KeyEviction:
    """A subscriber of the change feed; it queues no more sessions than keys are cached."""

    def __init__(self, pool: Pool, keys: DataKeyCache) -> None:
        self._pool, self._keys = pool, keys
        self._unchecked = set[UUID]()
        self._has_work = asyncio.Event()

    def started(self) -> None:
        self.changed(self._keys.cached_ids)

    def changed(self, session_ids: Sequence[UUID]) -> None:
        if cached := self._keys.cached_among(session_ids):
            self._unchecked |= {*cached}
            self._has_work.set()

    def interrupted(self) -> None:
        """No action: keys expire on their own, and `started` checks all of them."""

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff(_RETRY_INITIAL_SECONDS, _RETRY_MAX_SECONDS)
        while True:
            await self._has_work.wait()
            try:
                await self._evict_batch()
                backoff.reset()
            except DATABASE_ERRORS as error:
                log.warning("key eviction delayed, retrying: %s", type(error).__name__)
                await asyncio.sleep(backoff.next_delay() or 0)

    async def _evict_batch(self) -> None:
        batch = {*islice(self._unchecked, _BATCH_SIZE)}
        self._unchecked -= batch
        try:
            closed = await closed_sessions(self._pool, batch)
        except DATABASE_ERRORS:
            self._unchecked |= batch
            raise
        self._keys.evict(closed)
        if not self._unchecked:
            self._has_work.clear()
