"""A new session that begins with the messages of another one, up to one of them."""

from collections.abc import Mapping
from uuid import UUID, uuid5

from parley_contracts.api_models import SessionShape
from parley_core.http.errors import Conflict
from parley_core.runtime.offload import run_in_thread_if_large
from parley_events.cloudevents import EventTooLarge
from parley_events.session import Event
from parley_events.values import ForkPoint
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.command_executor import Caller, CommandExecutor
from parley_session.application.event_mapper import message_of, metadata_of, title_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.sessions.start_session import SessionStarter, new_session_id
from parley_session.domain.session.commands import ImportedMessage, StartSession
from parley_session.domain.session.errors import MessageNotFound
from parley_session.domain.session.state import MessageNode
from parley_session.storage.event_store import EventStore, LoadedSession


class SessionForker:
    def __init__(
        self,
        store: EventStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        starting: SessionStarter,
        assistants: Catalogue,
        *,
        most_messages: int,
        most_bytes: int,
    ) -> None:
        self._store, self._executor, self._sessions = store, executor, sessions
        self._starting, self._assistants = starting, assistants
        self._most_messages, self._most_bytes = most_messages, most_bytes

    async def fork(
        self,
        source_id: UUID,
        asker: Caller,
        request: IdempotentRequest | None,
        *,
        message_id: UUID | None = None,
        session_id: UUID | None = None,
        title: str | None = None,
    ) -> tuple[SessionShape, bool]:
        """The new session, and whether it is new; without a message it copies the newest branch.

        Raises SessionNotFound, MessageNotFound, and Conflict when that is too much.
        """
        if request and (done := await self._executor.done_before(request)):
            return await self._sessions.read(done.session_id, asker.person), False
        held = await self._sessions.owned(source_id, asker.person)
        new_id = session_id or new_session_id(request)
        command = await self._command(held, message_id, new_id, title)
        try:
            return await self._starting.begin(command, asker, request)
        except EventTooLarge:
            raise self._too_large() from None

    async def _command(
        self, held: LoadedSession, message_id: UUID | None, new_id: UUID, title: str | None
    ) -> StartSession:
        session, key = held.session, held.key
        last = message_id or session.leaf_message_id
        if last is None or last not in session.messages:
            raise MessageNotFound
        opened = await self._assistants.open_to(session.tenant, session.assistant_id)
        assistant = opened.shape
        described = await self._sessions.described(session)
        return StartSession(
            new_id,
            assistant.id,
            assistant.version,
            title_of(session, described, key) if title is None else title,
            metadata_of(session, described, key) or None,
            expires_at=session.expires_at,
            forked_from=ForkPoint(session_id=session.id, message_id=last),
            messages=await self._copies(held, last, new_id),
        )

    async def _copies(self, held: LoadedSession, last: UUID, new_id: UUID) -> list[ImportedMessage]:
        """Oldest first; a reply that never had any text is left out."""
        line = [place for _, place in held.session.line(last) if place.sealed_bytes]
        total = sum(place.sealed_bytes for place in line)
        if len(line) > self._most_messages or total > self._most_bytes:
            raise self._too_large()
        places = {place.sequence: place for place in line}
        events = await self._store.events_at(held.session.id, places)
        by_sequence = {event.sequence: event for event in events}
        return await run_in_thread_if_large(
            len(line), lambda: [_copy(held, by_sequence, place, new_id) for place in reversed(line)]
        )

    def _too_large(self) -> Conflict:
        mebibytes = self._most_bytes // 2**20
        return Conflict(
            f"A fork copies {self._most_messages} messages and {mebibytes} MiB at most.",
            code="fork_too_large",
        )


def _copy(
    held: LoadedSession, events: Mapping[int, Event], place: MessageNode, new_id: UUID
) -> ImportedMessage:
    event = events[place.sequence]
    message = message_of(event, None, held.key)
    return ImportedMessage(
        id=uuid5(new_id, str(message.id)),
        role=message.role,
        content=message.content,
        original_time=message.created_at,
        tokens=place.tokens,
    )
