"""How sessions end: deleted by their owner, restored, and erased, which destroys their key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_events.session import SessionErased
from parley_session.application.command_executor import (
    Caller,
    Clock,
    CommandExecutor,
    CommandResult,
)
from parley_session.domain.session.commands import (
    Command,
    DeleteSession,
    EraseReason,
    EraseSession,
    RestoreSession,
)
from parley_session.domain.session.errors import LegalHold, SessionNotFound
from parley_session.storage.event_store import LoadedSession
from parley_session.storage.session_index import SessionIndex

UndeleteDays = Callable[[str, str], float]
"""For how many days a deleted session of (tenant, assistant id) may be restored."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """`erase_at` is when a session that may still be restored is erased."""

    version: int
    erase_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ErasedAll:
    """`held` are those that a legal hold keeps; with `has_more` the call is to be made again."""

    erased: int
    held: int
    has_more: bool


class SessionDeletion:
    def __init__(
        self,
        executor: CommandExecutor,
        rows: SessionIndex,
        *,
        undelete_days: UndeleteDays,
        clock: Clock,
        on_erased: Callable[[EraseReason], None] = lambda _: None,
    ) -> None:
        self._executor, self._rows = executor, rows
        self._undelete_days, self._clock = undelete_days, clock
        self._on_erased = on_erased

    async def delete(self, session_id: UUID, asker: Caller) -> Deleted:
        """Again, it changes nothing. Raises SessionNotFound, LegalHold."""

        def command_for(held: LoadedSession | None) -> Command:
            if held is None:
                raise SessionNotFound
            days = self._undelete_days(held.session.tenant, held.session.assistant_id)
            return DeleteSession(self._clock() + timedelta(days=days) if days else None)

        try:
            done = await self._executor.execute(session_id, command_for, asker)
        except SessionNotFound:
            version = await self._rows.erased_version(session_id, asker.person)
            if version is None:
                raise
            return Deleted(version)
        assert isinstance(done, CommandResult)
        self._tell(done)
        return Deleted(done.held.session.version, done.held.session.erase_at)

    async def restore(self, session_id: UUID, asker: Caller) -> None:
        """Raises SessionNotFound, NotDeleted."""
        await self._executor.execute(session_id, lambda _: RestoreSession(), asker)

    async def erase(
        self,
        session_id: UUID,
        reason: EraseReason,
        asker: Caller,
        *,
        idle_since: datetime | None = None,
    ) -> bool:
        """Whether this call erased it, whoever owns it; False also where that is not due.

        Raises LegalHold.
        """
        command = EraseSession(reason, idle_since)
        try:
            done = await self._executor.execute(session_id, lambda _: command, asker)
        except SessionNotFound:
            return False
        assert isinstance(done, CommandResult)
        self._tell(done)
        return bool(done.events)

    async def erase_all_of(
        self,
        person: Principal,
        reason: EraseReason,
        asker: Caller,
        *,
        most: int,
        seconds: float,
    ) -> ErasedAll:
        """Erase all that the person has, without an undelete window; their search key goes last."""
        ends, erased = self._clock() + timedelta(seconds=seconds), 0
        found = await self._rows.erasable_of(person, most + 1)
        for session_id in found[:most]:
            if self._clock() >= ends:
                return ErasedAll(erased, await self._rows.held_of(person), True)
            try:
                erased += await self.erase(session_id, reason, asker)
            except LegalHold:
                # It came between.
                continue
        if len(found) <= most:
            await self._rows.forget_search_key(person)
        return ErasedAll(erased, await self._rows.held_of(person), len(found) > most)

    def _tell(self, done: CommandResult) -> None:
        for event in done.events:
            if isinstance(event.data, SessionErased):
                self._on_erased(event.data.reason)
