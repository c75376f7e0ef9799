"""Erases the sessions whose time has come: temporary, deleted or idle ones, as the policies say."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.storage.postgres_pool import Pool
from parley_session.api.errors import STORE_TROUBLE
from parley_session.application.command_executor import Caller
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.domain.retention_policy import Policies
from parley_session.domain.session.commands import EraseReason
from parley_session.domain.session.errors import LegalHold
from parley_session.storage.due_sessions import DueSession, DueSessions, IdleSession

log = logging.getLogger(__name__)

# A tick ends after these; one whose machine vanished is given up a while later.
_MOST_SECONDS, _SLACK_SECONDS = 20, 40


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How often a tick comes, and how many sessions one looks at and erases at most."""

    every_seconds: float
    looked_at: int
    erased: int


class Retention:
    """Any number may run: one at a time works, and the session decides whether it is due."""

    def __init__(
        self,
        pool: Pool,
        erasing: SessionDeletion,
        policies: Policies,
        limits: RetentionLimits,
    ) -> None:
        self._pool, self._erasing, self._policies = pool, erasing, policies
        self._limits = limits
        # Behind these the next tick goes on, so that one that cannot be erased holds up no other.
        self._after_due: DueSession | None = None
        self._after_idle: UUID | None = None
        self._ends = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.tick()
            except STORE_TROUBLE as error:
                log.warning("The tick of the retention failed: %s", type(error).__name__)
            except Exception as error:
                # The next tick has to come: without it nothing is erased in time.
                log_unexpected_error(log, "retention", error)
            await asyncio.sleep(self._limits.every_seconds)

    async def tick(self) -> int:
        """How many sessions it erased."""
        erased: Counter[EraseReason] = Counter()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                sessions = DueSessions(connection)
                if await sessions.lead(_MOST_SECONDS + _SLACK_SECONDS):
                    self._ends = asyncio.get_running_loop().time() + _MOST_SECONDS
                    await self._erase_due(sessions, erased)
                    await self._erase_idle(sessions, erased)
        finally:
            if erased:
                said = ", ".join(f"{count} {reason}" for reason, count in sorted(erased.items()))
                log.info("Sessions erased: %s.", said)
        return erased.total()

    async def _erase_due(self, sessions: DueSessions, erased: "Counter[EraseReason]") -> None:
        due = await sessions.due(self._after_due, self._limits.erased)
        for session in due:
            if self._is_enough(erased):
                return
            reason: EraseReason = "deleted" if session.deleted else "expired"
            await self._erase(session.id, reason, erased)
            self._after_due = session
        if len(due) < self._limits.erased:
            self._after_due = None

    async def _erase_idle(self, sessions: DueSessions, erased: "Counter[EraseReason]") -> None:
        if (shortest := self._policies.shortest_idle_days) is None:
            return
        stretch = await sessions.stretch(self._after_idle, self._limits.looked_at)
        for session in await sessions.idle(stretch, shortest):
            if self._is_enough(erased):
                return
            if self._is_idle(session):
                await self._erase(session.id, "idle", erased, session.updated_at)
            self._after_idle = session.id
        self._after_idle = stretch.end

    def _is_idle(self, session: IdleSession) -> bool:
        idle_days = self._policies.idle_days(session.tenant, session.assistant_id)
        return idle_days is not None and session.idle_days >= idle_days

    def _is_enough(self, erased: "Counter[EraseReason]") -> bool:
        is_late = asyncio.get_running_loop().time() > self._ends
        return is_late or erased.total() >= self._limits.erased

    async def _erase(
        self,
        session_id: UUID,
        reason: EraseReason,
        erased: "Counter[EraseReason]",
        idle_since: datetime | None = None,
    ) -> None:
        asker = Caller(Principal("parley", "session"), f"retention-{session_id}", system=True)
        try:
            if await self._erasing.erase(session_id, reason, asker, idle_since=idle_since):
                erased[reason] += 1
        except LegalHold:
            # It was placed a moment ago.
            return
        except STORE_TROUBLE:
            raise
        except Exception as error:
            # One session that cannot be read must not keep the others.
            log_unexpected_error(log, f"session {session_id} could not be erased", error)
