"""Tells session which turns this process runs; a turn that nobody names for 10 s is interrupted."""

import asyncio
import logging
import time
from collections.abc import Sequence, Set
from typing import Protocol
from uuid import UUID

from parley_core.http.errors import ParleyError
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_inference.session.client import SessionClient

log = logging.getLogger(__name__)

MOST_NAMED = 1_000
"""As many erased sessions session names in one answer; more are not named."""


class Running(Protocol):
    @property
    def running(self) -> Sequence[UUID]: ...

    @property
    def holds_text(self) -> bool: ...

    def stop(self, turn_id: UUID, reason: str) -> None: ...

    def erase(self, session_ids: Set[UUID]) -> None: ...

    def forget(self) -> None: ...

    def tidy(self) -> None: ...


class HeartbeatLoop:
    """Also where this process learns of erased sessions: it beats while it keeps any text.

    What it keeps is forgotten when no answer came for `unheard_seconds`.
    """

    def __init__(
        self,
        session: SessionClient,
        turns: Running,
        every_seconds: float,
        unheard_seconds: float,
    ) -> None:
        self._session, self._turns, self._every_seconds = session, turns, every_seconds
        self._unheard_seconds = unheard_seconds
        self._answered = True
        self._heard_at = time.monotonic()

    async def keep(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                self._turns.tidy()
                running = self._turns.running
                if running or self._turns.holds_text:
                    await self._beat(running)
                else:
                    self._heard_at = time.monotonic()
            except Exception as error:
                # The next beat has to come: without it every turn is interrupted.
                log_unexpected_error(log, "heartbeat", error)

    async def _beat(self, running: Sequence[UUID]) -> None:
        asked_at = time.monotonic()
        try:
            beat = await self._session.heartbeat(running)
        except ParleyError as error:
            if self._answered:
                log.warning("session does not answer heartbeats: %s", error.code)
            self._answered = False
            if time.monotonic() - self._heard_at > self._unheard_seconds:
                self._turns.forget()
            return
        self._answered, self._heard_at = True, asked_at
        for stop in beat.stop:
            self._turns.stop(stop.turn_id, stop.reason)
        if len(beat.erased) >= MOST_NAMED:
            self._turns.forget()
        if beat.erased:
            self._turns.erase(frozenset(beat.erased))
