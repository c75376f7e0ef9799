"""The sessions that moved and are not indexed yet."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from uuid import UUID


class DirtySessions:
    """A `movements.Follower`; of more than `most` sessions it only knows that it missed some."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.missed = False
        self._most, self._clock = most, clock
        self._since: dict[UUID, float] = {}
        self._taken_since: float | None = None
        self._heard = asyncio.Event()

    def began(self) -> None:
        self.missed = True
        self._heard.set()

    def moved(self, session_ids: Sequence[UUID]) -> None:
        now = self._clock()
        for session_id in session_ids:
            self._since.setdefault(session_id, now)
        if len(self._since) > self._most:
            self._since.clear()
            self.missed = True
        self._heard.set()

    def lost(self) -> None:
        pass

    async def next(self, most: int, seconds: float) -> Sequence[UUID]:
        """Those that wait for longest; none when none moved for so long."""
        if not self._since:
            self._heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._heard.wait()
        taken = dict(islice(self._since.items(), most))
        for session_id in taken:
            del self._since[session_id]
        self._taken_since = self._taken_since or next(iter(taken.values()), None)
        return [*taken]

    def done(self) -> None:
        """All that was given is indexed."""
        self._taken_since = None

    @property
    def oldest_seconds(self) -> float:
        """For how long the movement that waits for longest does."""
        now = self._clock()
        return now - (self._taken_since or next(iter(self._since.values()), now))
