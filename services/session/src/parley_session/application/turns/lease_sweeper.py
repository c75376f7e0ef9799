"""Ends the turns that nobody runs any more, so that no session stays closed by a lost process."""

import asyncio
import logging

from parley_core.auth.principal import Principal
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_session.api.errors import STORE_TROUBLE
from parley_session.application.command_executor import Caller
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.storage.turn_store import TurnStore

log = logging.getLogger(__name__)

_TICKS_BETWEEN_FORGETTING = 60


class LeaseSweeper:
    """Any number may run: the turn's session decides which of them ended it."""

    def __init__(
        self,
        turns: TurnStore,
        running: TurnLifecycle,
        *,
        every_seconds: float,
        lease_seconds: float,
        most_turns: int,
        idempotency_hours: int,
    ) -> None:
        self._turns, self._running = turns, running
        self._every_seconds, self._lease_seconds = every_seconds, lease_seconds
        self._most_turns, self._idempotency_hours = most_turns, idempotency_hours

    async def run(self) -> None:
        """Until it is cancelled."""
        ticks = 0
        while True:
            try:
                if await self._turns.tick(self._lease_seconds):
                    await self.sweep()
                if ticks % _TICKS_BETWEEN_FORGETTING == 0:
                    await self._turns.forget(self._idempotency_hours)
                ticks += 1
            except STORE_TROUBLE as error:
                log.warning("The sweeper's tick failed: %s", type(error).__name__)
            except Exception as error:
                # The next tick has to come: without it no lost turn ends.
                log_unexpected_error(log, "sweeper", error)
            await asyncio.sleep(self._every_seconds)

    async def sweep(self) -> None:
        """End every deserted turn."""
        deserted = await self._turns.deserted(self._lease_seconds, self._most_turns)
        for session_id, turn_id in deserted:
            asker = Caller(Principal("parley", "session"), f"sweep-{turn_id}", system=True)
            try:
                await self._running.end_abandoned(session_id, turn_id, asker)
                log.info("turn %s ended: no process named it for a lease", turn_id)
            except STORE_TROUBLE:
                raise
            except Exception as error:
                # One session that cannot be read must not keep the others closed.
                log_unexpected_error(log, f"turn {turn_id} could not be ended", error)
