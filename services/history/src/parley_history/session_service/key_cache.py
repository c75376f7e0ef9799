"""In-memory LRU cache of the data keys and search keys that the session service issues."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from cachetools import TLRUCache

from parley_contracts.session_api.limits import MAX_DATA_KEYS_PER_REQUEST
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import NotFound

MAX_KEYS = 10_000
# An erased session must be unreadable within 60 s even if no eviction arrives: a page that was
# decrypted when its key expired stays in a gateway for up to 30 s more.
TTL_SECONDS = 30.0

Id = TypeVar("Id", bound=Hashable)

LoadKeys = Callable[[Sequence[Id], str], Awaitable[Mapping[Id, DataKey | None]]]
"""Loads the keys of at most 100 ids; None when a key is destroyed. Raises ParleyError."""


class _Entry(NamedTuple):
    key: DataKey
    expires_at: float


class KeyCache(Generic[Id]):
    """Holds at most MAX_KEYS keys for TTL_SECONDS and evicts the least recently used."""

    def __init__(
        self,
        load: LoadKeys[Id],
        *,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load_keys, self._clock = load, clock
        self._entries: TLRUCache[Id, _Entry] = TLRUCache(
            max_keys, ttu=lambda _, entry, __: entry.expires_at, timer=clock
        )
        self._evictions = 0

    async def get_many(self, ids: Collection[Id], request_id: str) -> dict[Id, DataKey]:
        """Return the existing keys; erased and unknown ids are absent. Raises Unavailable."""
        keys = {id: entry.key for id in ids if (entry := self._entries.get(id)) is not None}
        missing = [id for id in ids if id not in keys]
        for start in range(0, len(missing), MAX_DATA_KEYS_PER_REQUEST):
            chunk = missing[start : start + MAX_DATA_KEYS_PER_REQUEST]
            keys |= await self._load(chunk, request_id)
        return keys

    @property
    def cached_ids(self) -> list[Id]:
        return [*self._entries]

    def cached_among(self, ids: Collection[Id]) -> list[Id]:
        return [id for id in ids if id in self._entries]

    def evict(self, ids: Collection[Id]) -> None:
        """Remove the keys, and do not store those that are being loaded now."""
        self._evictions += 1
        for id in ids:
            self._entries.pop(id, None)

    async def _load(self, ids: Sequence[Id], request_id: str) -> dict[Id, DataKey]:
        # The time before the call counts: the keys certainly existed at that moment.
        expires_at, evictions = self._clock() + TTL_SECONDS, self._evictions
        loaded = await self._load_keys(ids, request_id)
        keys = {id: key for id, key in loaded.items() if key is not None}
        if evictions == self._evictions:
            for id, key in keys.items():
                self._entries[id] = _Entry(key, expires_at)
        return keys


class DataKeyCache(KeyCache[UUID]):
    """The data keys of sessions; concurrent requests for one key share one call."""

    def __init__(
        self,
        load: LoadKeys[UUID],
        *,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(load, max_keys=max_keys, clock=clock)
        self._loading: dict[UUID, asyncio.Task[dict[UUID, DataKey]]] = {}

    async def get(self, session_id: UUID, request_id: str) -> DataKey:
        """Raises NotFound for an erased session, Unavailable without the session service."""
        if (entry := self._entries.get(session_id)) is not None:
            return entry.key
        loading = self._loading.get(session_id)
        if loading is None:
            loading = asyncio.create_task(self._load([session_id], request_id))
            self._loading[session_id] = loading
            loading.add_done_callback(lambda done: self._loaded(session_id, done))
        # Shielded: the cancellation of one request must not cancel the call of the others.
        keys = await asyncio.shield(loading)
        if session_id not in keys:
            raise NotFound("There is no such session.", code="session_not_found")
        return keys[session_id]

    def _loaded(self, session_id: UUID, loading: asyncio.Task[dict[UUID, DataKey]]) -> None:
        del self._loading[session_id]
        if not loading.cancelled():
            # Retrieved here, because all waiting requests may have been cancelled.
            loading.exception()
