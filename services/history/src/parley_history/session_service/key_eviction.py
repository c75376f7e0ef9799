"""Drops the keys of deleted and erased sessions from memory, as soon as that is projected."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from uuid import UUID

from parley_core.storage.postgres_pool import Pool
from parley_history.session_service.key_cache import DataKeyCache
from parley_history.storage.database_errors import DATABASE_TROUBLE

log = logging.getLogger(__name__)

_AT_ONCE = 1_000

_CLOSED = """
SELECT id FROM sessions WHERE id = ANY($1::uuid[]) AND (deleted OR erased_at IS NOT NULL)
"""


class KeyEviction:
    """A `movements.Follower`; there are never more sessions to look at than keys are kept."""

    def __init__(self, pool: Pool, keys: DataKeyCache, *, pause_seconds: float) -> None:
        self._pool, self._keys, self._pause_seconds = pool, keys, pause_seconds
        self._moved = set[UUID]()
        self._heard = asyncio.Event()

    def began(self) -> None:
        self.moved(self._keys.kept)

    def moved(self, session_ids: Sequence[UUID]) -> None:
        if moved := self._keys.kept_of(session_ids):
            self._moved |= {*moved}
            self._heard.set()

    def lost(self) -> None:
        pass

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._heard.wait()
            try:
                await self._look()
            except DATABASE_TROUBLE as trouble:
                log.warning("the database cannot be asked: %s", type(trouble).__name__)
                await asyncio.sleep(self._pause_seconds)

    async def _look(self) -> None:
        looked_at = {*islice(self._moved, _AT_ONCE)}
        self._moved -= looked_at
        try:
            closed = await self._pool.fetch(_CLOSED, looked_at)
        except DATABASE_TROUBLE:
            self._moved |= looked_at
            raise
        self._keys.drop([row["id"] for row in closed])
        if not self._moved:
            self._heard.clear()
