"""How a person comes to a session: starts one, or goes back to the latest with an assistant."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from uuid import UUID, uuid4

from parley_contracts.api_models import Message, SessionShape
from parley_core.auth.principal import Principal
from parley_core.http.errors import TooLarge, Unavailable
from parley_events.cloudevents import EventTooLarge
from parley_events.session import Event, ReplyRequested
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.command_executor import (
    AlreadyExecuted,
    Caller,
    Clock,
    CommandExecutor,
)
from parley_session.application.event_mapper import message_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.domain.session.commands import StartSession
from parley_session.domain.session.errors import SessionIdUnavailable, SessionNotFound
from parley_session.storage.event_store import EventStore, LoadedSession

SWITCH_MESSAGES = 20

_LOOKS = 5


@dataclass(frozen=True, slots=True)
class AssistantSwitch:
    session: SessionShape
    created: bool
    messages: Sequence[Message]


class SessionStarter:
    def __init__(
        self,
        store: EventStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: Catalogue,
        *,
        temporary_hours: int,
        clock: Clock,
    ) -> None:
        self._store, self._executor, self._sessions = store, executor, sessions
        self._assistants = assistants
        self._temporary_hours, self._clock = temporary_hours, clock

    async def start(
        self,
        asker: Caller,
        request: IdempotentRequest | None,
        *,
        session_id: UUID | None = None,
        assistant_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
        temporary: bool = False,
    ) -> tuple[SessionShape, bool]:
        """The session, and whether it is new. Raises NotFound, Conflict for such an assistant."""
        opened = await self._assistants.open_to(asker.person.tenant, assistant_id)
        assistant = opened.shape
        life = timedelta(hours=self._temporary_hours)
        command = StartSession(
            session_id or new_session_id(request),
            assistant.id,
            assistant.version,
            title,
            metadata,
            expires_at=self._clock() + life if temporary else None,
        )
        try:
            return await self.begin(command, asker, request)
        except EventTooLarge:
            raise TooLarge("Title and metadata are too large.", code="session_too_large") from None

    async def begin(
        self, command: StartSession, asker: Caller, request: IdempotentRequest | None
    ) -> tuple[SessionShape, bool]:
        """Raises EventTooLarge."""
        try:
            done = await self._executor.execute(
                command.session_id, lambda _: command, asker, request=request
            )
        except SessionNotFound:
            # Erased: its id stays taken.
            raise SessionIdUnavailable from None
        if isinstance(done, AlreadyExecuted):
            return await self._sessions.read(done.session_id, asker.person), False
        return await self._sessions.shape(done.held, asker.person), True

    async def switch(
        self, asker: Caller, request: IdempotentRequest | None, assistant_id: str
    ) -> AssistantSwitch:
        """The person's latest session with the assistant, or a new one."""
        person = asker.person
        await self._assistants.get(person.tenant, assistant_id)
        held: LoadedSession | None
        if request and (done := await self._executor.done_before(request)):
            held = await self._sessions.owned(done.session_id, person)
        else:
            held = await self._latest(person, assistant_id)
        if held is None:
            session, created = await self.start(asker, request, assistant_id=assistant_id)
            return AssistantSwitch(session, created, [])
        shape = await self._sessions.shape(held, person)
        return AssistantSwitch(shape, False, await self._last_messages(held))

    async def _latest(self, person: Principal, assistant_id: str) -> LoadedSession | None:
        for _ in range(_LOOKS):
            latest = await self._store.latest_session(person.tenant, person.user, assistant_id)
            if latest is None:
                return None
            # One that was erased since it was found is not the latest any more.
            with suppress(SessionNotFound):
                return await self._sessions.owned(latest, person)
        raise Unavailable("The sessions are busy; try again.", code="session_busy")

    async def _last_messages(self, held: LoadedSession) -> list[Message]:
        """Of the branch that the newest message ends, oldest first."""
        line = held.session.line(held.session.leaf_message_id)
        shown = [place for _, place in islice(line, SWITCH_MESSAGES)][::-1]
        # What a person said is followed by its turn, in the same append.
        wanted = {place.sequence + more for place in shown for more in (0, 1)}
        found = await self._store.events_at(held.session.id, wanted)
        events = {event.sequence: event for event in found}
        return [
            message_of(
                events[place.sequence],
                _turn_opened_by(events.get(place.sequence + 1)),
                held.key,
                place.parent_id,
            )
            for place in shown
        ]


def new_session_id(request: IdempotentRequest | None) -> UUID:
    return request.derived_id if request else uuid4()


def _turn_opened_by(event: Event | None) -> UUID | None:
    return event.data.turn_id if event and isinstance(event.data, ReplyRequested) else None
