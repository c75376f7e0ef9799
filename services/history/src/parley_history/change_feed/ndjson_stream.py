"""`GET /movements`: which sessions moved, line by line, for whoever keeps pages of them.

It ends at once when movements may have been missed: who reads it then drops all, and comes again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import msgspec

from parley_core.http.errors import Unavailable
from parley_history.change_feed.listener import ChangeFeed

_LISTENING = b'{"listening":true}\n'
_ALIVE = b"\n"


class ChangeFeedStreams:
    """At most `most` at once; one that is `most_unread` lines behind is ended."""

    def __init__(
        self, movements: ChangeFeed, *, most: int, most_unread: int, alive_seconds: float
    ) -> None:
        self._movements, self._most = movements, most
        self._most_unread, self._alive_seconds = most_unread, alive_seconds
        self._open = set[_Lines]()

    def open(self) -> AsyncIterator[bytes]:
        """The lines of one more reader. Raises Unavailable."""
        if len(self._open) >= self._most:
            raise Unavailable("Too many follow the movements; try again.", code="history_busy")
        return self._lines()

    def end(self) -> None:
        """End every stream: the process is about to."""
        for lines in self._open:
            lines.lost()

    async def _lines(self) -> AsyncIterator[bytes]:
        lines = _Lines(self._most_unread)
        self._open.add(lines)
        try:
            with self._movements.followed_by(lines):
                while (line := await lines.next(self._alive_seconds)) is not None:
                    yield line
        finally:
            self._open.discard(lines)


class _Lines:
    """What one reader has not read yet; a `movements.Follower`."""

    def __init__(self, most_unread: int) -> None:
        self._unread: deque[bytes] = deque()
        self._most_unread = most_unread
        self._changed = asyncio.Event()
        self._ended = False

    def began(self) -> None:
        self._add(_LISTENING)

    def moved(self, session_ids: Sequence[UUID]) -> None:
        self._add(msgspec.json.encode({"moved": session_ids}) + b"\n")

    def lost(self) -> None:
        self._unread.clear()
        self._ended = True
        self._changed.set()

    async def next(self, alive_seconds: float) -> bytes | None:
        """All that is unread, an empty line where there is nothing for so long, None at the end."""
        if not self._unread and not self._ended:
            self._changed.clear()
            try:
                async with asyncio.timeout(alive_seconds):
                    await self._changed.wait()
            except TimeoutError:
                return _ALIVE
        if self._ended:
            return None
        unread = b"".join(self._unread)
        self._unread.clear()
        return unread

    def _add(self, line: bytes) -> None:
        if len(self._unread) >= self._most_unread:
            self.lost()
        elif not self._ended:
            self._unread.append(line)
            self._changed.set()
