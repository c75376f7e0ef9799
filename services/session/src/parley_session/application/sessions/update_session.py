"""What is changed of a session as a whole: by its owner, an administrator, or a model."""

from collections.abc import Mapping
from uuid import UUID

from msgspec import UNSET, UnsetType

from parley_contracts.api_models import SessionShape
from parley_core.http.errors import Forbidden, TooLarge
from parley_events.cloudevents import EventTooLarge
from parley_session.application.command_executor import Caller, CommandExecutor, CommandResult
from parley_session.application.event_mapper import metadata_of, title_of
from parley_session.application.sessions.session_queries import SessionQueries, owned_by
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

ADMIN = "admin"


class SessionUpdater:
    def __init__(self, executor: CommandExecutor, sessions: SessionQueries) -> None:
        self._executor, self._sessions = executor, sessions

    async def change(
        self,
        session_id: UUID,
        asker: Caller,
        *,
        title: str | UnsetType | None = UNSET,
        metadata: Mapping[str, str] | UnsetType = UNSET,
        archived: bool | UnsetType = UNSET,
        legal_hold: bool | UnsetType = UNSET,
    ) -> SessionShape:
        """All that is given, in one append; what is so already is left out.

        Raises SessionNotFound, and Forbidden for a legal hold without the scope.
        """
        if legal_hold is not UNSET and ADMIN not in asker.person.scopes:
            raise Forbidden(f"A legal hold needs the scope {ADMIN}.", code="missing_scope")

        async def command_for(held: LoadedSession | None) -> ChangeSession:
            changes: list[Change] = []
            if any(given is not UNSET for given in (title, metadata, archived)):
                changes += await self._changed(owned_by(asker.person, held), title, metadata)
            if archived is not UNSET:
                changes.append(SetArchived(archived))
            if legal_hold is not UNSET:
                changes.append(SetLegalHold(legal_hold))
            return ChangeSession(changes)

        try:
            done = await self._executor.execute(session_id, command_for, asker)
        except EventTooLarge:
            raise TooLarge("Title and metadata are too large.", code="session_too_large") from None
        assert isinstance(done, CommandResult)
        return await self._sessions.shape(done.held, asker.person)

    async def _changed(
        self,
        held: LoadedSession,
        title: str | UnsetType | None,
        metadata: Mapping[str, str] | UnsetType,
    ) -> list[Change]:
        events = await self._sessions.described(held.session)
        changes: list[Change] = []
        if title is not UNSET and title != title_of(held.session, events, held.key):
            changes.append(RenameSession(title))
        if metadata is not UNSET and metadata != metadata_of(held.session, events, held.key):
            changes.append(ChangeMetadata(metadata))
        return changes

    async def apply_model_suggestion(
        self, session_id: UUID, command: SuggestTitle | CompactContext, asker: Caller
    ) -> None:
        """Raises SessionNotFound, MessageNotFound, TooLarge."""
        try:
            await self._executor.execute(session_id, lambda _: command, asker)
        except EventTooLarge:
            raise TooLarge("No event can hold that.", code="text_too_large") from None
