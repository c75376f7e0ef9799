"""Records the usage of stateless completions (ADR 18)."""

from parley_core.auth.caller import Caller
from parley_session.application.command_executor import Clock, command_metadata_for
from parley_session.application.turns.turn_limits import TurnLimits
from parley_session.domain.decide_completion import RecordCompletion, completion_served
from parley_session.domain.session.errors import SessionIdUnavailable
from parley_session.storage.event_store import EventStore
from parley_session.storage.session_index import SessionIndex


class CompletionRecorder:
    def __init__(
        self, store: EventStore, index: SessionIndex, limits: TurnLimits, *, clock: Clock
    ) -> None:
        self._store, self._index, self._limits, self._clock = store, index, limits, clock

    async def record(self, command: RecordCompletion, caller: Caller) -> None:
        """Idempotent. Raises SessionIdUnavailable if another stream has the id."""
        event = completion_served(command, command_metadata_for(caller, self._clock()))
        subjects = await self._limits.completion_subjects(caller.principal, command.model)
        if await self._store.append_single_event_stream(event, subjects):
            return
        if not await self._index.has_completion(command.id, caller.principal):
            raise SessionIdUnavailable
