"""Starts sessions, or switches to the latest one with an assistant."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from uuid import UUID, uuid4

from msgspec import Raw

from parley_contracts.api_models import Message, SessionShape
from parley_contracts.session_api.sessions import SwitchAssistantResponse
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.http.errors import TooLarge, Unavailable
from parley_events.audit import AuditData, AuditOutcome
from parley_events.cloudevents import EventTooLarge
from parley_events.session import Event, ReplyRequested
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.audit.audit_data import audit_data
from parley_session.application.command_executor import AlreadyExecuted, Clock, CommandExecutor
from parley_session.application.event_mapper import message_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.domain.session.commands import StartSession
from parley_session.domain.session.errors import SessionIdUnavailable, SessionNotFound
from parley_session.storage.audit.audit_store import AuditStore
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.keys.installation_key import InstallationKey
from parley_session.storage.session_index import SessionIndex

SWITCH_MESSAGES = 20
"""Messages returned when a caller switches to an existing session."""

# Each attempt fails only if the session found was erased before it could be loaded.
_MAX_LOOKUPS = 5


class SessionStarter:
    def __init__(
        self,
        store: EventStore,
        index: SessionIndex,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: AssistantCatalogue,
        audit: AuditStore,
        *,
        installation_key: InstallationKey,
        temporary_hours: float,
        clock: Clock,
    ) -> None:
        """A temporary session expires after `temporary_hours`."""
        self._installation_key = installation_key
        self._store, self._index, self._executor = store, index, executor
        self._sessions, self._assistants, self._audit = sessions, assistants, audit
        self._temporary_hours, self._clock = temporary_hours, clock

    async def start(
        self,
        caller: Caller,
        request: IdempotentRequest | None,
        *,
        session_id: UUID | None = None,
        assistant_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
        temporary: bool = False,
        switches: bool = False,
    ) -> tuple[SessionShape, bool]:
        """The session, and whether it is new.

        Raises AssistantNotFound, SessionIdUnavailable, TooLarge, and Conflict for a retired
        assistant.
        """
        catalogued = await self._assistants.get_for_new_session(
            caller.principal.tenant, assistant_id
        )
        assistant = catalogued.shape
        lifetime = timedelta(hours=self._temporary_hours)
        command = StartSession(
            session_id or await self.new_id(request),
            assistant.id,
            assistant.version,
            title,
            metadata,
            expires_at=self._clock() + lifetime if temporary else None,
        )
        audited = [_switch(caller, assistant.id, command.session_id)] if switches else []
        try:
            return await self.execute(command, caller, request, audited)
        except EventTooLarge:
            raise TooLarge("Title and metadata are too large.", code="session_too_large") from None

    async def execute(
        self,
        command: StartSession,
        caller: Caller,
        request: IdempotentRequest | None,
        audited: Sequence[AuditData] = (),
    ) -> tuple[SessionShape, bool]:
        """The session, and whether it is new. Raises SessionIdUnavailable, EventTooLarge."""
        try:
            result = await self._executor.execute(
                command.session_id,
                lambda _: command,
                caller,
                request=request,
                audited=audited,
            )
        except SessionNotFound:
            # The id of an erased session stays in use.
            raise SessionIdUnavailable from None
        if isinstance(result, AlreadyExecuted):
            return await self._sessions.read(result.session_id, caller.principal), False
        return await self._sessions.shape(result.loaded, caller.principal), True

    async def new_id(self, request: IdempotentRequest | None) -> UUID:
        """The id of a session that is started without one; the same for a retried request."""
        if request is None:
            return uuid4()
        return request.session_id(await self._installation_key.get())

    async def switch(
        self, caller: Caller, request: IdempotentRequest | None, assistant_id: str
    ) -> SwitchAssistantResponse:
        """The caller's latest session with the assistant, or a new one."""
        principal = caller.principal
        await self._assistants.get(principal.tenant, assistant_id)
        loaded: LoadedSession | None
        if request and (earlier := await self._executor.find_previous_execution(request)):
            loaded = await self._sessions.load_owned(earlier.session_id, principal)
        else:
            loaded = await self._load_latest(principal, assistant_id)
        if loaded is None:
            session, created = await self.start(
                caller, request, assistant_id=assistant_id, switches=True
            )
            return _switched(session, created, [])
        await self._audit.append([_switch(caller, assistant_id, loaded.session.id, "allowed")])
        shape = await self._sessions.shape(loaded, principal)
        return _switched(shape, False, await self._last_messages(loaded))

    async def _load_latest(self, principal: Principal, assistant_id: str) -> LoadedSession | None:
        for _ in range(_MAX_LOOKUPS):
            latest = await self._index.latest_with_assistant(principal, assistant_id)
            if latest is None:
                return None
            with suppress(SessionNotFound):
                return await self._sessions.load_owned(latest, principal)
        raise Unavailable("The sessions are busy. Please retry.", code="session_busy")

    async def _last_messages(self, loaded: LoadedSession) -> list[Message]:
        """The last messages of the newest branch, oldest first."""
        branch = loaded.session.branch_to(loaded.session.leaf_message_id)
        shown = [node for _, node in islice(branch, SWITCH_MESSAGES)][::-1]
        # The event after a submitted message opens its turn, in the same append.
        sequences = {node.sequence + offset for node in shown for offset in (0, 1)}
        found = await self._store.events_at(loaded.session.id, sequences)
        events = {event.sequence: event for event in found}
        return [
            message_of(
                events[node.sequence],
                _opened_turn_id(events.get(node.sequence + 1)),
                loaded.key,
                node.parent_id,
            )
            for node in shown
        ]


def _switch(
    caller: Caller, assistant_id: str, session_id: UUID, outcome: AuditOutcome = "done"
) -> AuditData:
    objects = ("assistant", assistant_id), ("session", session_id)
    return audit_data(caller, "assistant.switched", *objects, outcome=outcome)


def _switched(
    session: SessionShape, created: bool, messages: Sequence[Message]
) -> SwitchAssistantResponse:
    return SwitchAssistantResponse(
        session=Raw(session.to_json()),
        created=created,
        messages=[Raw(message.to_json()) for message in messages],
    )


def _opened_turn_id(event: Event | None) -> UUID | None:
    return event.data.turn_id if event and isinstance(event.data, ReplyRequested) else None
