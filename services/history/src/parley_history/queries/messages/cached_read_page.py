"""A person reads a session, where possible from a page that was read before and is in Redis.

Whose the session is and how far it is projected is asked of the read model each time. A page is
named by that version, so none is ever taken back, and none that is older can be answered.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import ParleyError
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.messages.page_request import PageRequest
from parley_history.queries.messages.read_page import Page, PageReader
from parley_history.session_service.key_cache import DataKeyCache

# Moved on when a release answers the same request with other bytes.
_FORM = 1

_READ_STATE = """
SELECT sessions.version, active_read_model.version AS read_model
FROM sessions CROSS JOIN active_read_model
WHERE sessions.id = $1 AND tenant = $2 AND owner = $3 AND NOT deleted AND erased_at IS NULL
"""


class KeptPages(Protocol):
    """`redis_pages.RedisPages` is one."""

    async def get(self, name: str, key: DataKey) -> bytes | None: ...
    async def put(self, name: str, key: DataKey, page: bytes) -> None: ...


class CachedPageReader:
    """At most `most_putting` pages are on their way to be kept; others are not kept."""

    def __init__(
        self,
        reading: PageReader,
        pool: Pool,
        keys: DataKeyCache,
        kept: KeptPages,
        *,
        most_putting: int,
    ) -> None:
        self._reading, self._pool, self._keys, self._kept = reading, pool, keys, kept
        self._most_putting = most_putting
        self._putting = set[asyncio.Task[None]]()

    async def page(
        self, session_id: UUID, person: Principal, request_id: str, asked: PageRequest
    ) -> Page:
        """Raises a ParleyError."""
        state = await self._pool.fetchrow(_READ_STATE, session_id, person.tenant, person.user)
        if state is None:
            return await self._reading.page(session_id, person, request_id, asked)
        version, read_model = state
        named = f"{session_id}:{read_model}"
        if version >= asked.wanted:
            json = await self._kept_page(session_id, request_id, _name(named, version, asked))
            if json is not None:
                return Page(json, version)
        page = await self._reading.page(session_id, person, request_id, asked)
        self._put(session_id, request_id, _name(named, page.version, asked), page.json)
        return page

    async def aclose(self) -> None:
        for task in self._putting:
            task.cancel()
        await asyncio.gather(*self._putting, return_exceptions=True)

    async def _kept_page(self, session_id: UUID, request_id: str, name: str) -> bytes | None:
        try:
            key = await self._keys.of(session_id, request_id)
        except ParleyError:
            return None  # A page without messages needs no key; who reads it will tell.
        return await self._kept.get(name, key)

    def _put(self, session_id: UUID, request_id: str, name: str, json: bytes) -> None:
        if len(self._putting) < self._most_putting:
            task = asyncio.create_task(self._keep(session_id, request_id, name, json))
            self._putting.add(task)
            task.add_done_callback(self._putting.discard)

    async def _keep(self, session_id: UUID, request_id: str, name: str, json: bytes) -> None:
        with suppress(ParleyError):
            await self._kept.put(name, await self._keys.of(session_id, request_id), json)


def _name(named: str, version: int, asked: PageRequest) -> str:
    # What is waited for changes nothing of the page.
    query = repr(replace(asked, min_version=None, seen=None)).encode()
    return f"page:{_FORM}:{named}:{version}:{hashlib.sha256(query).hexdigest()[:32]}"
