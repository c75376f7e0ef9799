"""Lease sweeper: ends turns whose runner stopped sending heartbeats."""

import asyncio
import logging
from collections.abc import Callable

from pydantic import Field

from parley_core.auth.caller import Caller
from parley_core.auth.principal import service_principal
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.runtime.settings import Seconds, SettingsGroup
from parley_core.tracing.spans import continued_trace
from parley_core.tracing.trace_context import parse_trace_context
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.key_management.key_wrapper import KeyServiceUnavailable
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE
from parley_session.storage.turn_counts import TurnCounts
from parley_session.storage.turn_store import AbandonedTurn, TurnStore

log = logging.getLogger(__name__)

# A sweeper without a tick for 3 s gives every runner a new lease, so the interval stays well below.
SWEEP_INTERVAL_SECONDS = 1
# Keeps one sweep short; the next one continues.
MAX_TURNS_PER_SWEEP = 100

_TICKS_BETWEEN_DELETIONS = 60


class TurnSettings(SettingsGroup):
    lease_seconds: Seconds = Field(
        default=10, description="the seconds without a heartbeat after which a turn is interrupted"
    )
    max_person_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="the share of all turns that can run at once that one person may have, "
        "over 0 and up to 1",
    )


class LeaseSweeper:
    """Any number of processes may run it: the session admits one end of a turn."""

    def __init__(
        self,
        turns: TurnStore,
        counts: TurnCounts,
        lifecycle: TurnLifecycle,
        *,
        lease_seconds: float,
        idempotency_hours: int,
        interval_seconds: float,
        max_turns: int = MAX_TURNS_PER_SWEEP,
        on_swept: Callable[[], None] = lambda: None,
    ) -> None:
        """`idempotency_hours` is how long idempotency records are stored.

        `on_swept` is called for each turn that was ended.
        """
        self._on_swept = on_swept
        self._turns, self._counts, self._lifecycle = turns, counts, lifecycle
        self._interval_seconds, self._lease_seconds = interval_seconds, lease_seconds
        self._max_turns, self._idempotency_hours = max_turns, idempotency_hours

    async def run(self) -> None:
        """Runs until cancelled."""
        ticks = 0
        while True:
            try:
                if await self._turns.tick(self._lease_seconds):
                    await self.sweep()
                if ticks % _TICKS_BETWEEN_DELETIONS == 0:
                    await self._turns.delete_expired(self._idempotency_hours)
                    await self._counts.delete_old()
                ticks += 1
            except DATABASE_UNAVAILABLE as error:
                log.warning("sweeper tick failed: %s", type(error).__name__)
            except Exception as error:
                # No other task ends abandoned turns, so the sweeper must survive any error.
                log_unexpected_error(log, "sweeper", error)
            await asyncio.sleep(self._interval_seconds)

    async def sweep(self) -> None:
        """End the turns whose lease has expired."""
        abandoned = await self._turns.abandoned(self._lease_seconds, self._max_turns)
        for turn in abandoned:
            trace = parse_trace_context(turn.traceparent or "")
            try:
                with continued_trace("interrupt turn", "internal", trace):
                    await self._end(turn)
            except DATABASE_UNAVAILABLE:
                raise
            except KeyServiceUnavailable:
                # Its client logs the outage; the next sweep tries again.
                continue
            except Exception as error:
                # A session that cannot be decoded must not block the others.
                log_unexpected_error(log, f"turn {turn.turn_id} could not be ended", error)

    async def _end(self, turn: AbandonedTurn) -> None:
        session_id, turn_id, _ = turn
        caller = Caller(service_principal("session"), f"sweep-{turn_id}")
        if await self._lifecycle.end_abandoned(session_id, turn_id, self._lease_seconds, caller):
            self._on_swept()
            log.info("turn %s interrupted: lease expired", turn_id)
