"""Tells session which turns this process runs; a turn that nobody names for 10 s is interrupted."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from parley_core.errors import ParleyError
from parley_core.surprises import log_surprise
from parley_inference.session_client import SessionClient

log = logging.getLogger(__name__)


class Running(Protocol):
    @property
    def running(self) -> Sequence[UUID]: ...

    def stop(self, turn_id: UUID, reason: str) -> None: ...

    def tidy(self) -> None: ...


class Lease:
    def __init__(self, session: SessionClient, turns: Running, every_seconds: float) -> None:
        self._session, self._turns, self._every_seconds = session, turns, every_seconds
        self._answered = True

    async def keep(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                self._turns.tidy()
                if running := self._turns.running:
                    await self._beat(running)
            except Exception as error:
                # The next beat has to come: without it every turn is interrupted.
                log_surprise(log, "heartbeat", error)

    async def _beat(self, running: Sequence[UUID]) -> None:
        try:
            stops = await self._session.heartbeat(running)
        except ParleyError as error:
            if self._answered:
                log.warning("session does not answer heartbeats: %s", error.code)
            self._answered = False
            return
        self._answered = True
        for stop in stops:
            self._turns.stop(stop.turn_id, stop.reason)
