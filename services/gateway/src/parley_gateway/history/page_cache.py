"""In-process cache of history pages.

A page is served only while its version is the session's committed one, so nothing is invalidated.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated
from uuid import UUID

from pydantic import Field

from parley_core.runtime.settings import Count, SettingsGroup

Headers = tuple[tuple[bytes, bytes], ...]
Key = tuple[tuple[str, str], bytes, bytes]
"""The owner (tenant and user), and the path and query as sent."""

MIB = 1024 * 1024
# Larger pages take too much memory of each client that reads slowly: see large_pages.py.
MAX_ENTRY_BYTES = 256 * 1024
# The overhead of an entry beside its body and key: measured, rounded up.
ENTRY_OVERHEAD_BYTES = 1_024
MAX_TTL_SECONDS = 30


class PageCacheSettings(SettingsGroup):
    max_bytes: Count = Field(
        default=64 * MIB, description="the bytes of memory for cached history pages"
    )
    # A page may have been decrypted with a key that history caches for 30 s: with another 30 s
    # here, an erased session is unreadable within 60 s even when its version was not published.
    ttl_seconds: Annotated[float, Field(gt=0, le=MAX_TTL_SECONDS)] = Field(
        default=30, description="the seconds for which a cached page is served, over 0 and up to 30"
    )


@dataclass(frozen=True)
class Page:
    session_id: UUID
    version: int
    body: bytes
    etag: bytes
    headers: Headers

    @cached_property
    def head(self) -> bytes:
        """The status line and the headers of an HTTP/1.1 response with this page."""
        return b"HTTP/1.1 200 OK\r\n" + header_lines(self.headers)


def header_lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


@dataclass(slots=True)
class _Entry:
    page: Page
    expires_at: float
    bytes: int


class PageCache:
    """LRU, bounded to `max_bytes`."""

    def __init__(
        self, settings: PageCacheSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes, self._ttl_seconds = settings.max_bytes, settings.ttl_seconds
        self._clock = clock
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self.bytes = 0

    def get(self, key: Key) -> Page | None:
        """The cached page, of any version."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry.expires_at:
            return None
        self._entries.move_to_end(key)
        return entry.page

    def put(self, key: Key, page: Page) -> None:
        """Replaces a page of the same or an older version."""
        size = ENTRY_OVERHEAD_BYTES + len(page.body) + len(key[1]) + len(key[2])
        cached = self._entries.get(key)
        if size > MAX_ENTRY_BYTES or (cached and cached.page.version > page.version):
            return
        self._remove(key)
        self._entries[key] = _Entry(page, self._clock() + self._ttl_seconds, size)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.bytes
