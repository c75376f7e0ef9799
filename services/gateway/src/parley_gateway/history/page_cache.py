"""Pages of history as they were answered, kept in this process for whoever asked for them.

A page is answered again until its session moves. Movements come over a stream (`movements`);
while that is not heard, nothing is answered and nothing is kept.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

Headers = tuple[tuple[bytes, bytes], ...]
Person = tuple[str, str]
"""Tenant and user."""
Key = tuple[Person, bytes, bytes]
"""Who asked, and the path and query as they were sent."""

# What a page takes beside its body and its key: measured, rounded up.
ENTRY_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class Page:
    session_id: UUID
    version: int
    body: bytes
    etag: bytes
    headers: Headers


@dataclass(slots=True)
class _Stored:
    page: Page
    until: float
    bytes: int


@dataclass(slots=True)
class _SessionPages:
    """Which pages of a session are kept; all are of one version."""

    version: int
    keys: set[Key]


@dataclass(frozen=True, slots=True)
class PageCacheSettings:
    """Bytes and seconds; see the settings of the same names."""

    bytes: int
    page_bytes: int
    seconds: float
    silence: float
    settle: float
    read: float


class PageCache:
    """At most `limits.bytes`, those asked for least recently dropped first."""

    def __init__(
        self, limits: PageCacheSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits, self._clock = limits, clock
        self._pages: OrderedDict[Key, _Stored] = OrderedDict()
        self._sessions: dict[UUID, _SessionPages] = {}
        # When each session (or all of a person's) moved last, for as long as a read may take that
        # began before.
        self._moved_at: OrderedDict[UUID | Person, float] = OrderedDict()
        self._listening_since, self._trusted_until = 0.0, 0.0
        self.bytes = 0

    def find(self, key: Key) -> Page | None:
        stored = self._pages.get(key)
        if stored is None:
            return None
        now = self._clock()
        if now >= self._trusted_until or now >= stored.until:
            return None
        self._pages.move_to_end(key)
        return stored.page

    def now(self) -> float:
        """When a read begins, for `keep`."""
        return self._clock()

    def keep(self, key: Key, page: Page, began: float) -> None:
        """Unless it may be older than what was heard since the read `began`."""
        now, limits = self._clock(), self._limits
        size = ENTRY_BYTES + len(page.body) + len(key[1]) + len(key[2])
        if size > limits.page_bytes or now >= self._trusted_until:
            return
        if began < self._listening_since or now - began >= limits.read:
            return
        # Another replica of history may hear of a movement later than we did.
        unsettled = began - limits.settle
        if any(self._moved_at.get(moved, 0.0) > unsettled for moved in (page.session_id, key[0])):
            return
        if not self._is_the_latest(page):
            return
        self._drop(key)
        self._pages[key] = _Stored(page, now + limits.seconds, size)
        self._sessions.setdefault(page.session_id, _SessionPages(page.version, set())).keys.add(key)
        self.bytes += size
        while self.bytes > limits.bytes:
            self._drop(next(iter(self._pages)))

    def moved(self, session_ids: Iterable[UUID]) -> None:
        for session_id in session_ids:
            self._drop_all(session_id)
            self._note_moved(session_id)

    def forget(self, person: Person) -> None:
        """All their pages: a person forgets all so seldom that every page is looked at."""
        for key in [key for key in self._pages if key[0] == person]:
            self._drop(key)
        self._note_moved(person)

    def listen(self) -> None:
        """From now on every movement is told."""
        self.stop()
        self._listening_since = self._clock()
        self._trusted_until = self._listening_since + self._limits.silence

    def heard(self) -> None:
        """The stream of movements goes on."""
        now = self._clock()
        if now >= self._trusted_until:
            # It stood still too long, or we did: what it tells now may be late.
            self.listen()
        else:
            self._trusted_until = now + self._limits.silence

    def stop(self) -> None:
        """Movements may be missed from now on."""
        self._trusted_until = 0.0
        self._pages.clear()
        self._sessions.clear()
        self.bytes = 0

    def _note_moved(self, moved: UUID | Person) -> None:
        now = self._clock()
        self._moved_at[moved] = now
        self._moved_at.move_to_end(moved)
        forgotten = now - self._limits.read - self._limits.settle
        while next(iter(self._moved_at.values())) < forgotten:
            self._moved_at.popitem(last=False)

    def _is_the_latest(self, page: Page) -> bool:
        """A newer page shows that older ones are stale, before any movement tells."""
        kept = self._sessions.get(page.session_id)
        if kept is not None and kept.version < page.version:
            self._drop_all(page.session_id)
        return kept is None or kept.version <= page.version

    def _drop_all(self, session_id: UUID) -> None:
        kept = self._sessions.get(session_id)
        for key in tuple(kept.keys) if kept is not None else ():
            self._drop(key)

    def _drop(self, key: Key) -> None:
        stored = self._pages.pop(key, None)
        if stored is None:
            return
        self.bytes -= stored.bytes
        keys = self._sessions[stored.page.session_id].keys
        keys.discard(key)
        if not keys:
            del self._sessions[stored.page.session_id]
