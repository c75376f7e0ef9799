"""Heartbeat loop: reports running turns and capacity to session, learns of stops and erasures.

A turn that no process reports for 10 s, the lease, is interrupted by session.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence, Set
from typing import Protocol
from uuid import UUID

from parley_contracts.session_api.turns import HeartbeatResponse
from parley_core.http.errors import ParleyError
from parley_core.runtime.safe_logging import log_unexpected_error

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.5
MAX_STALENESS_SECONDS = 45
"""Caches are cleared after this time without an answer: session names an erased session in its
heartbeats for 60 s only, so a later answer might miss one."""
MAX_ERASED_PER_ANSWER = 1_000
"""Session lists at most this many erased sessions; at the limit there may be more."""


class HeartbeatClient(Protocol):
    async def heartbeat(self, turn_ids: Sequence[UUID], capacity: int) -> HeartbeatResponse: ...


class Opener(Protocol):
    @property
    def capacity(self) -> int: ...


class Turns(Protocol):
    @property
    def owned(self) -> Sequence[UUID]: ...

    def stop(self, turn_id: UUID, reason: str) -> None: ...

    def erase(self, session_ids: Set[UUID]) -> None: ...


class Caches(Protocol):
    def erase(self, session_ids: Set[UUID]) -> None: ...

    def clear(self) -> None: ...

    def expire(self) -> None: ...


class HeartbeatLoop:
    """Sends heartbeats also while no turn runs: session admits turns to live processes only.

    `on_answer` is called after each heartbeat that session has accepted; `failures` counts the
    others.
    """

    def __init__(
        self,
        session: HeartbeatClient,
        opener: Opener,
        turns: Turns,
        caches: Caches,
        *,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._session, self._opener, self._turns, self._caches = session, opener, turns, caches
        self._on_answer = on_answer
        self.failures = 0
        self._answered = False
        self._answered_at = time.monotonic()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                self._caches.expire()
                await self._beat()
            except Exception as error:
                # Keep beating: otherwise every turn of this process would be interrupted.
                log_unexpected_error(log, "heartbeat", error)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def finish(self) -> None:
        """Send a last heartbeat, so that session counts on this process no longer."""
        await self._beat()

    async def _beat(self) -> None:
        sent_at = time.monotonic()
        try:
            answer = await self._session.heartbeat(self._turns.owned, self._opener.capacity)
        except ParleyError as error:
            self.failures += 1
            if self._answered:
                log.warning("heartbeats to session fail: %s", error.code)
            self._answered = False
            if time.monotonic() - self._answered_at > MAX_STALENESS_SECONDS:
                self._caches.clear()
            return
        self._answered, self._answered_at = True, sent_at
        self._on_answer()
        for stop in answer.stop:
            self._turns.stop(stop.turn_id, stop.reason)
        if len(answer.erased) >= MAX_ERASED_PER_ANSWER:
            self._caches.clear()
        if answer.erased:
            erased = frozenset(answer.erased)
            self._caches.erase(erased)
            self._turns.erase(erased)
