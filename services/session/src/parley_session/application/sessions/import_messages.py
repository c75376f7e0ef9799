"""Imports messages from elsewhere into a session: atomically, and each one once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.auth.caller import Caller
from parley_core.http.errors import Conflict, InvalidRequest, TooLarge
from parley_events.cloudevents import EventTooLarge
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.command_executor import Clock, CommandExecutor, CommandResult
from parley_session.application.event_mapper import message_of
from parley_session.application.sessions.imported_message_ids import (
    MessageToImport,
    message_ids,
)
from parley_session.application.sessions.session_queries import SessionQueries, require_owned
from parley_session.application.token_counter import count_tokens
from parley_session.domain.session.commands import ImportedMessage, ImportMessages
from parley_session.storage.event_store import EventStore, LoadedSession

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_LEEWAY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class ImportResult:
    imported: int
    skipped: int
    version: int


class MessageImporter:
    def __init__(
        self,
        store: EventStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: AssistantCatalogue,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._executor, self._sessions = store, executor, sessions
        self._assistants, self._clock = assistants, clock

    async def import_messages(
        self, session_id: UUID, given: Sequence[MessageToImport], caller: Caller
    ) -> ImportResult:
        """Skips messages that the session already has.

        Raises SessionNotFound, TurnOpen, InvalidRequest, TooLarge, and Conflict if an id belongs
        to a different message.
        """
        imported = 0

        async def command_for(loaded: LoadedSession | None) -> ImportMessages:
            nonlocal imported
            owned = require_owned(caller.principal, loaded)
            session = owned.session
            assistant = await self._assistants.get(session.tenant, session.assistant_id)
            # In a thread: counting the tokens of a thousand long texts would block the event loop.
            messages = await asyncio.to_thread(
                _with_ids, given, owned, assistant.model, self._clock()
            )
            existing = [message for message in messages if message.id in session.messages]
            await self._require_same(owned, existing)
            imported = len(messages) - len(existing)
            self._sessions.require_capacity(session, imported)
            return ImportMessages(messages)

        try:
            result = await self._executor.execute(session_id, command_for, caller)
        except EventTooLarge:
            raise TooLarge("A message is too large.", code="message_too_large") from None
        assert isinstance(result, CommandResult)
        return ImportResult(imported, len(given) - imported, result.loaded.session.version)

    async def _require_same(
        self, loaded: LoadedSession, existing: Sequence[ImportedMessage]
    ) -> None:
        nodes = {message.id: loaded.session.messages[message.id] for message in existing}
        events = await self._store.events_at(
            loaded.session.id, [node.sequence for node in nodes.values()]
        )
        by_sequence = {event.sequence: event for event in events}
        for message in existing:
            stored = message_of(by_sequence[nodes[message.id].sequence], None, loaded.key)
            if (stored.role, stored.content) != (message.role, message.content):
                raise Conflict(
                    f"The session has a different message with the id {message.id}.",
                    code="message_id_conflict",
                )


def _with_ids(
    given: Sequence[MessageToImport], owned: LoadedSession, model: str, now: datetime
) -> list[ImportedMessage]:
    for number, message in enumerate(given):
        _require_valid(message, number, now)
    ids = message_ids(given, owned.session, owned.key)
    seen: set[UUID] = set()
    messages = []
    for number, (message, message_id) in enumerate(zip(given, ids, strict=True)):
        if message_id in seen:
            raise InvalidRequest("Duplicate message id.", param=f"messages.{number}.id")
        seen.add(message_id)
        created_at, tokens = message.created_at or now, count_tokens(model, message.content)
        messages.append(
            ImportedMessage(message_id, message.role, message.content, created_at, tokens)
        )
    return messages


def _require_valid(message: MessageToImport, number: int, now: datetime) -> None:
    created_at = message.created_at
    if created_at and not EARLIEST <= created_at <= now + CLOCK_LEEWAY:
        raise InvalidRequest(
            f"`created_at` must be between {EARLIEST:%Y} and now.",
            param=f"messages.{number}.created_at",
        )
    if len(message.content.encode()) > MAX_MESSAGE_BYTES:
        raise TooLarge(
            f"A message has at most {MAX_MESSAGE_BYTES} bytes of UTF-8.",
            code="message_too_large",
            param=f"messages.{number}.content",
        )
