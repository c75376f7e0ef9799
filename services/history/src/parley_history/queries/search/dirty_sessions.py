"""Queue of changed sessions that are not indexed yet."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from uuid import UUID

# About 1 MB. Beyond it, a scan of all sessions costs little more.
MAX_QUEUED = 10_000


class DirtySessions:
    """A subscriber of the change feed. When the queue overflows, `missed` is set instead."""

    def __init__(
        self, max_queued: int = MAX_QUEUED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.missed = False
        self._max_queued, self._clock = max_queued, clock
        self._changed_at: dict[UUID, float] = {}
        self._taken_changed_at: float | None = None
        self._available = asyncio.Event()

    def started(self) -> None:
        self.missed = True
        self._available.set()

    def changed(self, session_ids: Sequence[UUID]) -> None:
        now = self._clock()
        for session_id in session_ids:
            self._changed_at.setdefault(session_id, now)
        if len(self._changed_at) > self._max_queued:
            self._changed_at.clear()
            self.missed = True
        self._available.set()

    def interrupted(self) -> None:
        """No action: the `started` that follows sets `missed`."""

    async def take(
        self, max_sessions: int, timeout_seconds: float, *, linger_seconds: float = 0
    ) -> Sequence[UUID]:
        """Remove and return the sessions that have waited longest; empty at the timeout.

        The first of them waits `linger_seconds`, so that changes that follow it come along.
        """
        if not self._changed_at:
            self._available.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._available.wait()
        if self._changed_at and linger_seconds:
            oldest_at = next(iter(self._changed_at.values()))
            await asyncio.sleep(max(0, oldest_at + linger_seconds - self._clock()))
        taken = dict(islice(self._changed_at.items(), max_sessions))
        for session_id in taken:
            del self._changed_at[session_id]
        self._taken_changed_at = self._taken_changed_at or next(iter(taken.values()), None)
        return [*taken]

    def acknowledge(self) -> None:
        """All sessions that were taken are indexed."""
        self._taken_changed_at = None

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest change that is not indexed yet."""
        now = self._clock()
        return now - (self._taken_changed_at or next(iter(self._changed_at.values()), now))
