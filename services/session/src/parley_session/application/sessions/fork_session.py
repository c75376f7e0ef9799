"""Forks a session: starts a new one with copies of its messages up to one of them (ADR 11)."""

from collections.abc import Mapping
from uuid import UUID, uuid5

from parley_contracts.api_models import SessionShape, UsageShape
from parley_core.auth.caller import Caller
from parley_core.http.errors import Conflict
from parley_core.runtime.offload import run_in_thread_if_large
from parley_events.cloudevents import EventTooLarge
from parley_events.session import Event
from parley_events.values import ForkPoint, Usage
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.command_executor import CommandExecutor
from parley_session.application.event_mapper import message_of, metadata_of, title_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.sessions.start_session import SessionStarter
from parley_session.domain.session.commands import ImportedMessage, StartSession
from parley_session.domain.session.errors import MessageNotFound
from parley_session.domain.session.state import MessageNode
from parley_session.storage.event_store import EventStore, LoadedSession

# A fork is one append: these bound its memory and the time that it occupies a connection.
MAX_FORK_MESSAGES = 2_000
MAX_FORK_BYTES = 16 * 1024 * 1024


class SessionForker:
    def __init__(
        self,
        store: EventStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        starter: SessionStarter,
        assistants: AssistantCatalogue,
        *,
        max_messages: int,
        max_bytes: int,
    ) -> None:
        self._store, self._executor, self._sessions = store, executor, sessions
        self._starter, self._assistants = starter, assistants
        self._max_messages, self._max_bytes = max_messages, max_bytes

    async def fork(
        self,
        source_id: UUID,
        caller: Caller,
        request: IdempotentRequest | None,
        *,
        message_id: UUID | None = None,
        session_id: UUID | None = None,
        title: str | None = None,
    ) -> tuple[SessionShape, bool]:
        """The fork, and whether it is new. Without `message_id` the newest branch is copied.

        Raises SessionNotFound, MessageNotFound, and Conflict if the branch is too large.
        """
        if request and (earlier := await self._executor.find_previous_execution(request)):
            return await self._sessions.read(earlier.session_id, caller.principal), False
        source = await self._sessions.load_owned(source_id, caller.principal)
        new_id = session_id or await self._starter.new_id(request)
        command = await self._command(source, message_id, new_id, title)
        try:
            return await self._starter.execute(command, caller, request)
        except EventTooLarge:
            raise self._too_large() from None

    async def _command(
        self, source: LoadedSession, message_id: UUID | None, new_id: UUID, title: str | None
    ) -> StartSession:
        session, key = source.session, source.key
        last = message_id or session.leaf_message_id
        if last is None or last not in session.messages:
            raise MessageNotFound
        catalogued = await self._assistants.get_for_new_session(
            session.tenant, session.assistant_id
        )
        assistant = catalogued.shape
        details = await self._sessions.detail_events(session)
        return StartSession(
            new_id,
            assistant.id,
            assistant.version,
            title_of(session, details, key) if title is None else title,
            metadata_of(session, details, key) or None,
            expires_at=session.expires_at,
            forked_from=ForkPoint(session_id=session.id, message_id=last),
            messages=await self._copies(source, last, new_id),
        )

    async def _copies(
        self, source: LoadedSession, last: UUID, new_id: UUID
    ) -> list[ImportedMessage]:
        """Copies, oldest first, without replies that have no text."""
        branch = [node for _, node in source.session.branch_to(last) if node.sealed_bytes]
        total_bytes = sum(node.sealed_bytes for node in branch)
        if len(branch) > self._max_messages or total_bytes > self._max_bytes:
            raise self._too_large()
        sequences = [node.sequence for node in branch]
        events = await self._store.events_at(source.session.id, sequences)
        by_sequence = {event.sequence: event for event in events}
        return await run_in_thread_if_large(
            len(branch),
            lambda: [_copy(source, by_sequence, node, new_id) for node in reversed(branch)],
        )

    def _too_large(self) -> Conflict:
        mebibytes = self._max_bytes // 2**20
        return Conflict(
            f"A fork copies at most {self._max_messages} messages and {mebibytes} MiB.",
            code="fork_too_large",
        )


def _copy(
    source: LoadedSession, events: Mapping[int, Event], node: MessageNode, new_id: UUID
) -> ImportedMessage:
    message = message_of(events[node.sequence], None, source.key)
    return ImportedMessage(
        id=uuid5(new_id, str(message.id)),
        role=message.role,
        content=message.content,
        original_time=message.created_at,
        tokens=node.tokens,
        status=message.status,
        model=message.model,
        finish_reason=message.finish_reason,
        usage=_usage(message.usage) if message.usage else None,
        error_code=message.error_code,
    )


def _usage(shape: UsageShape) -> Usage:
    return Usage(
        prompt_tokens=shape.prompt_tokens,
        completion_tokens=shape.completion_tokens,
        estimated=shape.estimated,
    )
