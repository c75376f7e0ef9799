"""Deletes, restores and erases sessions; erasing a session destroys its key.

None of it needs the key: an erasure must not wait for a key service.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from parley_contracts.api_models import rfc3339
from parley_contracts.session_api.sessions import DeleteSessionResponse, DeleteSessionsResponse
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_events.session import SessionErased
from parley_session.application.command_executor import Clock, CommandExecutor, CommandResult
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
"""The undelete window of sessions of (tenant, assistant id), in days."""


class SessionDeletion:
    def __init__(
        self,
        executor: CommandExecutor,
        index: SessionIndex,
        *,
        undelete_days: UndeleteDays,
        clock: Clock,
        on_erased: Callable[[EraseReason], None] = lambda _: None,
    ) -> None:
        self._executor, self._index = executor, index
        self._undelete_days, self._clock = undelete_days, clock
        self._on_erased = on_erased

    async def delete(self, session_id: UUID, caller: Caller) -> DeleteSessionResponse:
        """Idempotent. Raises SessionNotFound, LegalHold."""

        def command_for(loaded: LoadedSession | None) -> Command:
            if loaded is None:
                raise SessionNotFound
            days = self._undelete_days(loaded.session.tenant, loaded.session.assistant_id)
            return DeleteSession(self._clock() + timedelta(days=days) if days else None)

        try:
            result = await self._executor.execute(session_id, command_for, caller, without_key=True)
        except SessionNotFound:
            version = await self._index.erased_version(session_id, caller.principal)
            if version is None:
                raise
            return _response(session_id, version, None)
        assert isinstance(result, CommandResult)
        self._report_erasures(result)
        session = result.loaded.session
        return _response(session_id, session.version, session.erase_at)

    async def restore(self, session_id: UUID, caller: Caller) -> None:
        """Raises SessionNotFound, NotDeleted."""
        await self._executor.execute(
            session_id, lambda _: RestoreSession(), caller, without_key=True
        )

    async def erase(
        self,
        session_id: UUID,
        reason: EraseReason,
        caller: Caller,
        *,
        as_system: bool = False,
        unchanged_since: datetime | None = None,
    ) -> bool:
        """Whether this call erased the session, of any owner; False also if it is not due.

        Raises LegalHold.
        """
        command = EraseSession(reason, unchanged_since)
        try:
            result = await self._executor.execute(
                session_id, lambda _: command, caller, as_system=as_system, without_key=True
            )
        except SessionNotFound:
            return False
        assert isinstance(result, CommandResult)
        self._report_erasures(result)
        return bool(result.events)

    async def erase_all_of(
        self,
        principal: Principal,
        reason: EraseReason,
        caller: Caller,
        *,
        as_system: bool = False,
        max_sessions: int,
        max_seconds: float,
    ) -> DeleteSessionsResponse:
        """Erase the sessions of a person without an undelete window, and the search key last."""
        deadline, erased = self._clock() + timedelta(seconds=max_seconds), 0
        found = await self._index.erasable_of(principal, max_sessions + 1)
        has_more = len(found) > max_sessions
        for session_id in found[:max_sessions]:
            if self._clock() >= deadline:
                has_more = True
                break
            try:
                erased += await self.erase(session_id, reason, caller, as_system=as_system)
            except LegalHold:
                # Placed after the query.
                continue
        if not has_more:
            await self._index.delete_unused_search_key(principal)
        held = await self._index.count_legal_holds(principal)
        return DeleteSessionsResponse(erased=erased, held=held, has_more=has_more)

    def _report_erasures(self, result: CommandResult) -> None:
        for event in result.events:
            if isinstance(event.data, SessionErased):
                self._on_erased(event.data.reason)


def _response(session_id: UUID, version: int, erase_at: datetime | None) -> DeleteSessionResponse:
    return DeleteSessionResponse(
        id=session_id,
        erased=erase_at is None,
        erase_at=rfc3339(erase_at) if erase_at else None,
        version=version,
    )
