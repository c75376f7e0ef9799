"""Messages that were said elsewhere, brought into a session: all of them or none, and once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.crypto.sealing import DataKey, fingerprint
from parley_core.http.errors import Conflict, InvalidRequest, TooLarge
from parley_events.cloudevents import EventTooLarge
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.command_executor import (
    Caller,
    Clock,
    CommandExecutor,
    CommandResult,
)
from parley_session.application.event_mapper import message_of
from parley_session.application.sessions.session_queries import SessionQueries, owned_by
from parley_session.application.token_counter import tokens_in
from parley_session.domain.session.commands import ImportedMessage, ImportMessages
from parley_session.domain.session.state import Role
from parley_session.storage.event_store import EventStore, LoadedSession

_DERIVED_IDS = UUID("0b0a6ac2-9d6c-4a55-8f3e-7d0b5f7f7a10")

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_AHEAD = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class MessageToImport:
    """A message as it was given; without an id it has one that follows from the rest."""

    role: Role
    content: str
    id: UUID | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    imported: int
    skipped: int
    version: int


class MessageImporter:
    def __init__(
        self,
        store: EventStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: Catalogue,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._executor, self._sessions = store, executor, sessions
        self._assistants, self._clock = assistants, clock

    async def import_messages(
        self, session_id: UUID, brought: Sequence[MessageToImport], asker: Caller
    ) -> Imported:
        """What is there already is skipped.

        Raises SessionNotFound, TurnOpen, InvalidRequest, TooLarge, and Conflict when an id stands
        for another message.
        """
        imported = 0

        async def command_for(held: LoadedSession | None) -> ImportMessages:
            nonlocal imported
            owned = owned_by(asker.person, held)
            session = owned.session
            assistant = await self._assistants.get(session.tenant, session.assistant_id)
            # In a thread: a thousand long texts take longer to count than others should wait.
            messages = await asyncio.to_thread(
                _with_ids, brought, owned.key, assistant.model, self._clock()
            )
            known = [message for message in messages if message.id in session.messages]
            await self._require_same(owned, known)
            imported = len(messages) - len(known)
            self._sessions.require_room(session, imported)
            return ImportMessages(messages)

        try:
            done = await self._executor.execute(session_id, command_for, asker)
        except EventTooLarge:
            raise TooLarge("A message is too large.", code="message_too_large") from None
        assert isinstance(done, CommandResult)
        return Imported(imported, len(brought) - imported, done.held.session.version)

    async def _require_same(self, held: LoadedSession, known: Sequence[ImportedMessage]) -> None:
        places = {message.id: held.session.messages[message.id] for message in known}
        events = await self._store.events_at(
            held.session.id, [place.sequence for place in places.values()]
        )
        stored = {event.sequence: event for event in events}
        for message in known:
            there = message_of(stored[places[message.id].sequence], None, held.key)
            if (there.role, there.content) != (message.role, message.content):
                raise Conflict(
                    f"Message {message.id} is another one in this session.",
                    code="message_id_conflict",
                )


def _with_ids(
    brought: Sequence[MessageToImport], key: DataKey, model: str, now: datetime
) -> list[ImportedMessage]:
    seen: set[UUID] = set()
    equal_ones: dict[bytes, int] = {}
    messages = []
    for number, one in enumerate(brought):
        _require_acceptable(one, number, now)
        form = msgspec.json.encode([one.role, one.created_at, one.content])
        nth = equal_ones[form] = equal_ones.get(form, 0) + 1
        derived = fingerprint(key, form + str(nth).encode()).hex()
        message_id = one.id or uuid5(_DERIVED_IDS, derived)
        if message_id in seen:
            raise InvalidRequest("This id is given twice.", param=f"messages.{number}.id")
        seen.add(message_id)
        said_at, tokens = one.created_at or now, tokens_in(model, one.content)
        messages.append(ImportedMessage(message_id, one.role, one.content, said_at, tokens))
    return messages


def _require_acceptable(message: MessageToImport, number: int, now: datetime) -> None:
    said_at = message.created_at
    if said_at and not EARLIEST <= said_at <= now + CLOCK_AHEAD:
        raise InvalidRequest(
            f"A message was said after {EARLIEST:%Y} began, and not in the future.",
            param=f"messages.{number}.created_at",
        )
    if len(message.content.encode()) > MAX_MESSAGE_BYTES:
        raise TooLarge(
            f"A message has {MAX_MESSAGE_BYTES} bytes of UTF-8 at most.",
            code="message_too_large",
            param=f"messages.{number}.content",
        )
