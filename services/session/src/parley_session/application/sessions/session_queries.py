"""Reads sessions and turns for their owner, and cancels turns."""

from collections.abc import Sequence
from uuid import UUID

from parley_contracts.api_models import SessionShape, Turn
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.http.errors import Conflict
from parley_events.session import Event
from parley_events.values import Actor
from parley_session.application.command_executor import CommandExecutor, PreparedCommand
from parley_session.application.event_mapper import session_of, turn_of
from parley_session.domain.session.access import (
    require_not_deleted,
    require_not_erased,
    require_owner,
)
from parley_session.domain.session.commands import RequestCancel
from parley_session.domain.session.errors import SessionNotFound, TurnNotFound
from parley_session.domain.session.state import Session
from parley_session.storage.append.append_condition import Unclaimed
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_store import TurnStore


class SessionQueries:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        executor: CommandExecutor,
        *,
        max_messages: int,
    ) -> None:
        """A session has at most `max_messages`."""
        self._store, self._turns, self._executor = store, turns, executor
        self._max_messages = max_messages

    async def read(self, session_id: UUID, principal: Principal) -> SessionShape:
        """Raises SessionNotFound."""
        return await self.shape(await self.load_owned(session_id, principal), principal)

    async def read_turn(self, turn_id: UUID, principal: Principal) -> Turn:
        """Raises TurnNotFound, also for a turn in a session of somebody else."""
        turn, _ = await self.read_turn_and_session(turn_id, principal)
        return turn

    async def read_turn_and_session(
        self, turn_id: UUID, principal: Principal
    ) -> tuple[Turn, LoadedSession]:
        """Raises TurnNotFound."""
        row = await self._turns.find(turn_id)
        try:
            loaded = await self.load_owned(row.session_id, principal)
        except SessionNotFound:
            raise TurnNotFound from None
        return await self.read_turn_at(loaded, row.sequences), loaded

    async def read_turn_at(self, loaded: LoadedSession, sequences: Sequence[int]) -> Turn:
        """The turn whose events have these sequences."""
        events = await self._store.events_at(loaded.session.id, sequences)
        return turn_of(loaded.session, events, loaded.key)

    async def cancel(self, turn_id: UUID, caller: Caller) -> Turn:
        """Cancel a turn; idempotent. The runner ends it, unless nobody has claimed it.

        Raises TurnNotFound.
        """

        async def command_for(_: LoadedSession | None) -> RequestCancel | PreparedCommand:
            if (await self._turns.find(turn_id)).runner is not None:
                return RequestCancel(turn_id)
            # If a runner claims the turn first, only that runner may end it.
            return PreparedCommand(RequestCancel(turn_id, unclaimed=True), Unclaimed(turn_id))

        session_id = (await self._turns.find(turn_id)).session_id
        try:
            await self._executor.execute(session_id, command_for, caller)
        except SessionNotFound:
            raise TurnNotFound from None
        return await self.read_turn(turn_id, caller.principal)

    async def load_owned(self, session_id: UUID, principal: Principal) -> LoadedSession:
        """Raises SessionNotFound, also for an erased session or one of somebody else."""
        try:
            loaded = await self._store.load(session_id)
        except KeyDestroyed:
            loaded = None
        return require_owned(principal, loaded)

    async def shape(self, loaded: LoadedSession, principal: Principal) -> SessionShape:
        """The session as `principal` sees it."""
        details = await self.detail_events(loaded.session)
        return session_of(loaded.session, details, loaded.key, principal)

    async def detail_events(self, session: Session) -> dict[int, Event]:
        """By sequence, the first event and those with the current title and metadata."""
        sequences = {1, session.title_sequence or 1, session.metadata_sequence or 1}
        events = await self._store.events_at(session.id, sequences)
        return {event.sequence: event for event in events}

    def require_capacity(self, session: Session, messages: int = 1) -> None:
        """Raises Conflict if the session cannot take that many more messages."""
        if len(session.messages) + messages > self._max_messages:
            raise Conflict(
                f"A session has at most {self._max_messages} messages. Start another one.",
                code="session_full",
            )


def require_owned(principal: Principal, loaded: LoadedSession | None) -> LoadedSession:
    """Raises SessionNotFound."""
    if loaded is None:
        raise SessionNotFound
    session = require_not_deleted(require_not_erased(loaded.session))
    require_owner(session, Actor(tenant=principal.tenant, user=principal.user))
    return loaded
