"""Updates a session: details set by its owner, legal holds, and suggestions by a model."""

from collections.abc import Mapping
from uuid import UUID

from msgspec import UNSET, UnsetType

from parley_contracts.api_models import SessionShape
from parley_core.auth.caller import Caller
from parley_core.http.errors import Forbidden, TooLarge
from parley_events.cloudevents import EventTooLarge
from parley_session.application.command_executor import CommandExecutor, CommandResult
from parley_session.application.event_mapper import metadata_of, title_of
from parley_session.application.sessions.session_queries import SessionQueries, require_owned
from parley_session.domain.session.commands import (
    Change,
    ChangeMetadata,
    ChangeSession,
    CompactContext,
    RenameSession,
    SetArchived,
    SetLegalHold,
    SuggestTitle,
)
from parley_session.storage.event_store import LoadedSession

ADMIN_SCOPE = "admin"


class SessionUpdater:
    def __init__(self, executor: CommandExecutor, sessions: SessionQueries) -> None:
        self._executor, self._sessions = executor, sessions

    async def update(
        self,
        session_id: UUID,
        caller: Caller,
        *,
        title: str | UnsetType | None = UNSET,
        metadata: Mapping[str, str] | UnsetType = UNSET,
        archived: bool | UnsetType = UNSET,
        legal_hold: bool | UnsetType = UNSET,
    ) -> SessionShape:
        """Apply all changes in one append; values that are set already append nothing.

        Raises SessionNotFound, and Forbidden when a caller without the scope changes a legal hold.
        """
        is_admin = ADMIN_SCOPE in caller.principal.scopes

        async def command_for(loaded: LoadedSession | None) -> ChangeSession:
            changes: list[Change] = []
            if not is_admin or any(value is not UNSET for value in (title, metadata, archived)):
                owned = require_owned(caller.principal, loaded)
                if not is_admin and legal_hold not in (UNSET, owned.session.legal_hold):
                    raise Forbidden(
                        f"A legal hold requires the scope {ADMIN_SCOPE}.", code="missing_scope"
                    )
                changes += await self._detail_changes(owned, title, metadata)
            if archived is not UNSET:
                changes.append(SetArchived(archived))
            if legal_hold is not UNSET:
                changes.append(SetLegalHold(legal_hold))
            return ChangeSession(changes)

        try:
            result = await self._executor.execute(session_id, command_for, caller)
        except EventTooLarge:
            raise TooLarge("Title and metadata are too large.", code="session_too_large") from None
        assert isinstance(result, CommandResult)
        return await self._sessions.shape(result.loaded, caller.principal)

    async def _detail_changes(
        self,
        loaded: LoadedSession,
        title: str | UnsetType | None,
        metadata: Mapping[str, str] | UnsetType,
    ) -> list[Change]:
        events = await self._sessions.detail_events(loaded.session)
        changes: list[Change] = []
        if title is not UNSET and title != title_of(loaded.session, events, loaded.key):
            changes.append(RenameSession(title))
        if metadata is not UNSET and metadata != metadata_of(loaded.session, events, loaded.key):
            changes.append(ChangeMetadata(metadata))
        return changes

    async def apply_model_suggestion(
        self, session_id: UUID, command: SuggestTitle | CompactContext, caller: Caller
    ) -> None:
        """Raises SessionNotFound, MessageNotFound, TooLarge."""
        try:
            await self._executor.execute(session_id, lambda _: command, caller, as_system=True)
        except EventTooLarge:
            raise TooLarge("The text is too large.", code="text_too_large") from None
