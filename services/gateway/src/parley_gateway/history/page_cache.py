"""In-process cache of history pages, invalidated by history's change feed.

A page is served until its session changes. Changes arrive on the invalidation feed; while the feed
is disconnected, nothing is served from the cache and nothing is stored.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import Field

from parley_core.runtime.settings import Count, SettingsGroup

Headers = tuple[tuple[bytes, bytes], ...]
Owner = tuple[str, str]
"""Tenant and user."""
Key = tuple[Owner, bytes, bytes]
"""The owner, and the path and query as sent."""

MIB = 1024 * 1024
MAX_ENTRY_BYTES = MIB
# The overhead of an entry beside its body and key: measured, rounded up.
ENTRY_OVERHEAD_BYTES = 1_024
# History sends a keepalive every second: after this long without one, no page is trusted.
FEED_IDLE_TIMEOUT_SECONDS = 3.0
# For this long after a change, a replica of history may not have seen it.
SETTLE_SECONDS = 0.5
MAX_TTL_SECONDS = 30


class PageCacheSettings(SettingsGroup):
    max_bytes: Count = Field(
        default=64 * MIB, description="the bytes of memory for cached history pages"
    )
    # A page may have been decrypted with a key that history caches for 30 s: with another 30 s
    # here, an erased session is unreadable within 60 s even when the feed is down.
    ttl_seconds: Annotated[float, Field(gt=0, le=MAX_TTL_SECONDS)] = Field(
        default=30, description="the seconds for which a cached page is served, over 0 and up to 30"
    )


@dataclass(frozen=True, slots=True)
class Page:
    session_id: UUID
    version: int
    body: bytes
    etag: bytes
    headers: Headers


@dataclass(slots=True)
class _Entry:
    page: Page
    expires_at: float
    bytes: int


@dataclass(slots=True)
class _SessionPages:
    """The keys of a session's cached pages; all pages are of one version."""

    version: int
    keys: set[Key]


class PageCache:
    """LRU, bounded to `max_bytes`."""

    def __init__(
        self,
        settings: PageCacheSettings,
        *,
        read_timeout_seconds: float,
        settle_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes, self._ttl_seconds = settings.max_bytes, settings.ttl_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._settle_seconds = SETTLE_SECONDS if settle_seconds is None else settle_seconds
        self._clock = clock
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._sessions: dict[UUID, _SessionPages] = {}
        # When each session (or all sessions of an owner) last changed, kept for as long as a read
        # that began before the change may take.
        self._changed_at: OrderedDict[UUID | Owner, float] = OrderedDict()
        self._resumed_at, self._trusted_until = 0.0, 0.0
        self.bytes = 0

    def get(self, key: Key) -> Page | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock()
        if now >= self._trusted_until or now >= entry.expires_at:
            return None
        self._entries.move_to_end(key)
        return entry.page

    def generation(self) -> float:
        """Take before a read, and pass to `put`."""
        return self._clock()

    def put(self, key: Key, page: Page, generation: float) -> None:
        """Store a page, unless it may be older than a change seen since `generation`."""
        now = self._clock()
        size = ENTRY_OVERHEAD_BYTES + len(page.body) + len(key[1]) + len(key[2])
        if size > MAX_ENTRY_BYTES or now >= self._trusted_until:
            return
        if generation < self._resumed_at or now - generation >= self._read_timeout_seconds:
            return
        # Another replica of history may learn of a change later than this process did.
        unsettled = generation - self._settle_seconds
        if any(self._changed_at.get(item, 0.0) > unsettled for item in (page.session_id, key[0])):
            return
        if not self._is_latest(page):
            return
        self._remove(key)
        self._entries[key] = _Entry(page, now + self._ttl_seconds, size)
        self._sessions.setdefault(page.session_id, _SessionPages(page.version, set())).keys.add(key)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def invalidate(self, session_ids: Iterable[UUID]) -> None:
        for session_id in session_ids:
            self._remove_session(session_id)
            self._record_change(session_id)

    def invalidate_owner(self, owner: Owner) -> None:
        """Erasing all sessions is so rare that scanning every page is acceptable."""
        for key in [key for key in self._entries if key[0] == owner]:
            self._remove(key)
        self._record_change(owner)

    def resume(self) -> None:
        """The feed is connected: every change from now on is received."""
        self.suspend()
        self._resumed_at = self._clock()
        self._trusted_until = self._resumed_at + FEED_IDLE_TIMEOUT_SECONDS

    def keepalive(self) -> None:
        """The feed is alive."""
        now = self._clock()
        if now >= self._trusted_until:
            # The feed or this process stalled: what arrives now may be late.
            self.resume()
        else:
            self._trusted_until = now + FEED_IDLE_TIMEOUT_SECONDS

    def suspend(self) -> None:
        """The feed is disconnected: changes may be missed from now on."""
        self._trusted_until = 0.0
        self._entries.clear()
        self._sessions.clear()
        self.bytes = 0

    def _record_change(self, changed: UUID | Owner) -> None:
        now = self._clock()
        self._changed_at[changed] = now
        self._changed_at.move_to_end(changed)
        obsolete = now - self._read_timeout_seconds - self._settle_seconds
        while next(iter(self._changed_at.values())) < obsolete:
            self._changed_at.popitem(last=False)

    def _is_latest(self, page: Page) -> bool:
        """A newer page proves that cached older ones are stale, before the feed reports it."""
        cached = self._sessions.get(page.session_id)
        if cached is not None and cached.version < page.version:
            self._remove_session(page.session_id)
        return cached is None or cached.version <= page.version

    def _remove_session(self, session_id: UUID) -> None:
        cached = self._sessions.get(session_id)
        for key in tuple(cached.keys) if cached is not None else ():
            self._remove(key)

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.bytes
        keys = self._sessions[entry.page.session_id].keys
        keys.discard(key)
        if not keys:
            del self._sessions[entry.page.session_id]
