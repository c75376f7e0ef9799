"""Retention job: erases temporary, deleted and idle sessions as the policies demand, and deletes
expired revocations.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.auth.caller import Caller
from parley_core.auth.principal import service_principal
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.storage.postgres_pool import Pool
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.domain.retention_policy import RetentionPolicies
from parley_session.domain.session.commands import EraseReason
from parley_session.domain.session.errors import LegalHold
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE
from parley_session.storage.due_sessions import DueSession, DueSessions, IdleSession
from parley_session.storage.keys.revocation_store import delete_expired_revocations

log = logging.getLogger(__name__)

# A tick stops after the first; the database ends the transaction of a vanished process after both.
_MAX_TICK_SECONDS, _SLACK_SECONDS = 20, 40


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """A tick every `interval_seconds` scans and erases at most these numbers of sessions.

    The batches keep a tick of a full database within a second; the queue drains over many ticks.
    """

    interval_seconds: float = 2
    scan_batch: int = 2_000
    erase_batch: int = 100


RETENTION_LIMITS = RetentionLimits()


class Retention:
    """Any number of processes may run it: a lock admits one, and the domain checks each erasure.

    `is_leader` is whether the last tick had the lock.
    """

    def __init__(
        self,
        pool: Pool,
        deletion: SessionDeletion,
        policies: RetentionPolicies,
        limits: RetentionLimits,
    ) -> None:
        self._pool, self._deletion, self._policies = pool, deletion, policies
        self._limits = limits
        # The next tick continues after these, so that a session that fails delays no other.
        self._after_due: DueSession | None = None
        self._after_idle: UUID | None = None
        self._tick_deadline = 0.0
        self.is_leader = False

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self.tick()
            except DATABASE_UNAVAILABLE as error:
                self.is_leader = False
                log.warning("retention tick failed: %s", type(error).__name__)
            except Exception as error:
                # No other task erases sessions, so the job must survive any error.
                log_unexpected_error(log, "retention", error)
            await asyncio.sleep(self._limits.interval_seconds)

    async def tick(self) -> int:
        """Erase due sessions and delete expired revocations; return how many were erased."""
        erased: Counter[EraseReason] = Counter()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                sessions = DueSessions(connection)
                self.is_leader = await sessions.try_lock(_MAX_TICK_SECONDS + _SLACK_SECONDS)
                if self.is_leader:
                    self._tick_deadline = asyncio.get_running_loop().time() + _MAX_TICK_SECONDS
                    await self._erase_due(sessions, erased)
                    await self._erase_idle(sessions, erased)
                    await delete_expired_revocations(connection)
        finally:
            if erased:
                counts = ", ".join(f"{count} {reason}" for reason, count in sorted(erased.items()))
                log.info("erased sessions: %s", counts)
        return erased.total()

    async def _erase_due(self, sessions: DueSessions, erased: "Counter[EraseReason]") -> None:
        due = await sessions.due(self._after_due, self._limits.erase_batch)
        for session in due:
            if self._is_exhausted(erased):
                return
            reason: EraseReason = "deleted" if session.deleted else "expired"
            await self._erase(session.id, reason, erased)
            self._after_due = session
        if len(due) < self._limits.erase_batch:
            self._after_due = None

    async def _erase_idle(self, sessions: DueSessions, erased: "Counter[EraseReason]") -> None:
        if (shortest := self._policies.shortest_idle_days) is None:
            return
        id_range = await sessions.next_range(self._after_idle, self._limits.scan_batch)
        for session in await sessions.idle(id_range, shortest):
            if self._is_exhausted(erased):
                return
            if self._is_idle(session):
                await self._erase(session.id, "idle", erased, session.updated_at)
            self._after_idle = session.id
        self._after_idle = id_range.end

    def _is_idle(self, session: IdleSession) -> bool:
        idle_days = self._policies.idle_days(session.tenant, session.assistant_id)
        return idle_days is not None and session.idle_days >= idle_days

    def _is_exhausted(self, erased: "Counter[EraseReason]") -> bool:
        is_late = asyncio.get_running_loop().time() > self._tick_deadline
        return is_late or erased.total() >= self._limits.erase_batch

    async def _erase(
        self,
        session_id: UUID,
        reason: EraseReason,
        erased: "Counter[EraseReason]",
        unchanged_since: datetime | None = None,
    ) -> None:
        caller = Caller(service_principal("session"), f"retention-{session_id}")
        try:
            if await self._deletion.erase(
                session_id, reason, caller, as_system=True, unchanged_since=unchanged_since
            ):
                erased[reason] += 1
        except LegalHold:
            # Placed after the query.
            return
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:
            # A session that cannot be decoded must not block the others.
            log_unexpected_error(log, f"session {session_id} could not be erased", error)
