"""Reads a page of messages through the Redis page cache.

Ownership and the projected version are always read from the database. The version is part of the
cache key, so entries need no invalidation and a stale page is never served.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from parley_core.auth.caller import Caller
from parley_core.http.errors import ParleyError
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.page_request import PageRequest
from parley_history.queries.messages.read_page import Page, PageReader
from parley_history.queries.messages.redis_page_cache import MAX_CONNECTIONS, RedisPageCache
from parley_history.session_service.key_cache import DataKeyCache

# Incremented when a release encodes the same request as other bytes.
_ENCODING = 1


class CachedPageReader:
    """Stores pages in the background, as many at once as the cache has connections."""

    def __init__(
        self,
        reader: PageReader,
        pages: PageRepository,
        keys: DataKeyCache,
        cache: RedisPageCache,
        max_pending_writes: int = MAX_CONNECTIONS,
    ) -> None:
        self._reader, self._pages, self._keys, self._cache = reader, pages, keys, cache
        self._max_pending_writes = max_pending_writes
        self._pending_writes = set[asyncio.Task[None]]()

    async def read(self, session_id: UUID, caller: Caller, request: PageRequest) -> Page:
        """Raises ParleyError."""
        state = await self._pages.state(session_id, caller.principal)
        if state is None:
            return await self._reader.read(session_id, caller, request)
        prefix = f"{session_id}:{state.read_model_version}"
        if state.version >= request.preferred_version:
            name = _cache_key(prefix, state.version, request)
            json = await self._cached_page(session_id, caller.request_id, name)
            if json is not None:
                return Page(json, state.version)
        page = await self._reader.read(session_id, caller, request)
        name = _cache_key(prefix, page.version, request)
        self._store_in_background(session_id, caller.request_id, name, page.json)
        return page

    async def aclose(self) -> None:
        for task in self._pending_writes:
            task.cancel()
        await asyncio.gather(*self._pending_writes, return_exceptions=True)

    async def _cached_page(self, session_id: UUID, request_id: str, name: str) -> bytes | None:
        try:
            key = await self._keys.get(session_id, request_id)
        except ParleyError:
            return None  # A page without messages needs no key; the plain reader decides.
        return await self._cache.get(name, key)

    def _store_in_background(
        self, session_id: UUID, request_id: str, name: str, json: bytes
    ) -> None:
        if len(self._pending_writes) < self._max_pending_writes:
            task = asyncio.create_task(self._store(session_id, request_id, name, json))
            self._pending_writes.add(task)
            task.add_done_callback(self._pending_writes.discard)

    async def _store(self, session_id: UUID, request_id: str, name: str, json: bytes) -> None:
        with suppress(ParleyError):
            await self._cache.put(name, await self._keys.get(session_id, request_id), json)


def _cache_key(prefix: str, version: int, request: PageRequest) -> str:
    # The versions to wait for do not change the page.
    query = repr(replace(request, min_version=None, seen=None)).encode()
    return f"page:{_ENCODING}:{prefix}:{version}:{hashlib.sha256(query).hexdigest()[:32]}"
