"""NDJSON stream of changed sessions, `GET /changes`, for gateways that cache pages.

A stream ends as soon as changes may have been missed; its reader then drops its cache and
reconnects.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import msgspec

from parley_core.http.errors import Unavailable
from parley_history.change_feed.listener import ChangeFeed

# One stream per gateway process.
MAX_STREAMS = 100
# At about 100 bytes a line, a reader that lags this far costs 100 KB and is disconnected.
MAX_QUEUED_LINES = 1_000
# A gateway trusts its cache only for as long as it receives something.
KEEPALIVE_SECONDS: float = 1

_LISTENING = b'{"listening":true}\n'
_KEEPALIVE = b"\n"


class ChangeFeedStreams:
    """Opens at most MAX_STREAMS; a stream with MAX_QUEUED_LINES unread lines is ended."""

    def __init__(self, change_feed: ChangeFeed) -> None:
        self._change_feed = change_feed
        self._open = set[_LineQueue]()

    def open(self) -> AsyncIterator[bytes]:
        """Return the lines of a new stream. Raises Unavailable."""
        if len(self._open) >= MAX_STREAMS:
            raise Unavailable(
                "Too many change feed subscribers. Please retry.", code="history_busy"
            )
        return self._lines()

    def end(self) -> None:
        """End all streams, before the process shuts down."""
        for queue in self._open:
            queue.interrupted()

    async def _lines(self) -> AsyncIterator[bytes]:
        queue = _LineQueue()
        self._open.add(queue)
        try:
            with self._change_feed.subscribed(queue):
                while (lines := await queue.next()) is not None:
                    yield lines
        finally:
            self._open.discard(queue)


class _LineQueue:
    """The unread lines of one stream; a `Subscriber`."""

    def __init__(self) -> None:
        self._unread: deque[bytes] = deque()
        self._available = asyncio.Event()
        self._ended = False

    def started(self) -> None:
        self._add(_LISTENING)

    def changed(self, session_ids: Sequence[UUID]) -> None:
        self._add(msgspec.json.encode({"changed": session_ids}) + b"\n")

    def interrupted(self) -> None:
        self._unread.clear()
        self._ended = True
        self._available.set()

    async def next(self) -> bytes | None:
        """Return all unread lines, a keepalive after KEEPALIVE_SECONDS, or None at the end."""
        if not self._unread and not self._ended:
            self._available.clear()
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await self._available.wait()
            except TimeoutError:
                return _KEEPALIVE
        if self._ended:
            return None
        unread = b"".join(self._unread)
        self._unread.clear()
        return unread

    def _add(self, line: bytes) -> None:
        if len(self._unread) >= MAX_QUEUED_LINES:
            self.interrupted()
        elif not self._ended:
            self._unread.append(line)
            self._available.set()
