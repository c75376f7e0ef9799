"""Imports messages from elsewhere into a session: each one once, and all or the good ones."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from parley_contracts.api_models import Message
from parley_contracts.session_api.imports import BadRecord, ImportMessagesResponse, OnError
from parley_contracts.session_api.limits import MAX_NAMED_RECORDS
from parley_core.auth.caller import Caller
from parley_core.http.errors import Conflict, InvalidRequest, ParleyError, TooLarge
from parley_core.runtime.offload import run_in_thread_if_large
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.command_executor import (
    AlreadyExecuted,
    Clock,
    CommandExecutor,
    CommandResult,
    PreparedCommand,
)
from parley_session.application.event_mapper import message_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.imported_records import (
    GivenRecord,
    SortedRecords,
    comparable_ids,
    sort_records,
)
from parley_session.application.sessions.session_queries import SessionQueries, require_owned
from parley_session.application.turns.stopped_turns import StoppedTurns
from parley_session.domain.session.commands import ImportMessages
from parley_session.domain.session.state import Session
from parley_session.storage.event_store import EventStore, LoadedSession


class MessageImporter:
    def __init__(
        self,
        store: EventStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: AssistantCatalogue,
        stopped_turns: StoppedTurns,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._executor, self._sessions = store, executor, sessions
        self._assistants, self._stopped_turns, self._clock = assistants, stopped_turns, clock

    async def import_messages(
        self,
        session_id: UUID,
        records: Sequence[GivenRecord],
        on_error: OnError,
        caller: Caller,
        request: IdempotentRequest | None,
    ) -> ImportMessagesResponse:
        """Skips messages that the session already has.

        Raises SessionNotFound, TurnOpen, Conflict if the session would have too many messages, and
        the error of the first bad record unless those are to be skipped.
        """
        response: ImportMessagesResponse | None = None

        async def command_for(loaded: LoadedSession | None) -> PreparedCommand:
            nonlocal response
            owned = require_owned(caller.principal, loaded)
            sorted_records = await self._sorted(records, owned)
            if sorted_records.bad and on_error == "reject":
                raise _error_of(sorted_records.bad, len(records))
            self._sessions.require_capacity(owned.session, len(sorted_records.new))
            response = _response(owned.session, sorted_records)
            answer = msgspec.json.encode(response)
            return PreparedCommand(ImportMessages(sorted_records.new), answer=answer)

        def execute() -> Awaitable[CommandResult | AlreadyExecuted]:
            return self._executor.execute(session_id, command_for, caller, request=request)

        result = await self._stopped_turns.execute(session_id, execute, caller)
        if isinstance(result, AlreadyExecuted):
            assert result.answer is not None
            return msgspec.json.decode(result.answer, type=ImportMessagesResponse)
        assert response is not None
        return response

    async def _sorted(self, records: Sequence[GivenRecord], owned: LoadedSession) -> SortedRecords:
        session = owned.session
        assistant = await self._assistants.get(session.tenant, session.assistant_id)
        existing = await self._existing(owned, comparable_ids(records, session))
        return await asyncio.to_thread(
            sort_records, records, owned, existing, model=assistant.model, now=self._clock()
        )

    async def _existing(
        self, owned: LoadedSession, ids: Collection[UUID]
    ) -> Mapping[UUID, Message]:
        nodes = [owned.session.messages[message_id] for message_id in ids]
        by_sequence = {node.sequence: node for node in nodes}
        events = await self._store.events_at(owned.session.id, [*by_sequence])

        def read() -> dict[UUID, Message]:
            messages = (
                message_of(event, None, owned.key, by_sequence[event.sequence].parent_id)
                for event in events
            )
            return {message.id: message for message in messages}

        return await run_in_thread_if_large(len(events), read)


def _response(session: Session, sorted_records: SortedRecords) -> ImportMessagesResponse:
    """The response after the append, which has one event for each new message."""
    return ImportMessagesResponse(
        session_id=session.id,
        imported=len(sorted_records.new),
        skipped=sorted_records.skipped,
        failed=len(sorted_records.bad),
        errors=sorted_records.bad[:MAX_NAMED_RECORDS],
        version=session.version + len(sorted_records.new),
    )


def _error_of(bad: Sequence[BadRecord], records: int) -> ParleyError:
    """The error of the first bad record, which also names the others."""
    first = bad[0]
    message = first.message
    if len(bad) > 1:
        message += f" In all, {len(bad):,} of {records:,} messages cannot be imported."
    return _ERRORS[first.code](
        message,
        code=first.code,
        param=first.param,
        details={"records": msgspec.to_builtins(bad[:MAX_NAMED_RECORDS])},
    )


_ERRORS: Mapping[str, type[ParleyError]] = {
    "invalid_request": InvalidRequest,
    "message_too_large": TooLarge,
    "message_id_conflict": Conflict,
}
