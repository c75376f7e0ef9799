"""Completions without a conversation, recorded for what they cost."""

from parley_session.application.command_executor import Caller, Clock, moment_of
from parley_session.domain.completion import RecordCompletion, completion_served
from parley_session.domain.session.errors import SessionIdUnavailable
from parley_session.storage.event_store import EventStore
from parley_session.storage.session_index import SessionIndex


class CompletionRecorder:
    def __init__(self, store: EventStore, rows: SessionIndex, *, clock: Clock) -> None:
        self._store, self._rows, self._clock = store, rows, clock

    async def record(self, command: RecordCompletion, asker: Caller) -> None:
        """Again, it changes nothing. Raises SessionIdUnavailable for another stream's id."""
        event = completion_served(command, moment_of(asker, self._clock()))
        if await self._store.add_stream(event):
            return
        if not await self._rows.has_completion(command.id, asker.person):
            raise SessionIdUnavailable
