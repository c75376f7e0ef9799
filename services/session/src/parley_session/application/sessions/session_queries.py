"""The sessions and turns of a person as they read them, and the wish that a turn ends."""

from collections.abc import Sequence
from uuid import UUID

from parley_contracts.api_models import SessionShape, Turn
from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.http.errors import Conflict
from parley_events.session import Event
from parley_session.application.command_executor import Caller, CommandExecutor
from parley_session.application.event_mapper import session_of, turn_of
from parley_session.domain.session.commands import RequestCancel
from parley_session.domain.session.errors import SessionNotFound, TurnNotFound
from parley_session.domain.session.state import Session
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_store import TurnStore


class SessionQueries:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        executor: CommandExecutor,
        *,
        most_messages: int,
    ) -> None:
        self._store, self._turns, self._executor = store, turns, executor
        self._most_messages = most_messages

    async def read(self, session_id: UUID, person: Principal) -> SessionShape:
        return await self.shape(await self.owned(session_id, person), person)

    async def turn(self, turn_id: UUID, person: Principal) -> Turn:
        """A turn as it is now. Raises TurnNotFound also for one in another person's session."""
        turn, _ = await self.turn_and_session(turn_id, person)
        return turn

    async def turn_and_session(
        self, turn_id: UUID, person: Principal
    ) -> tuple[Turn, LoadedSession]:
        """A turn as it is now, with its session. Raises TurnNotFound."""
        row = await self._turns.find(turn_id)
        try:
            held = await self.owned(row.session_id, person)
        except SessionNotFound:
            raise TurnNotFound from None
        return await self.turn_in(held, row.sequences), held

    async def cancel(self, turn_id: UUID, asker: Caller) -> Turn:
        """Ask for the end of a turn, and answer it as it is then; again, it changes nothing.

        Whoever runs the turn ends it; one that nobody has claimed has ended. Raises TurnNotFound.
        """
        row = await self._turns.find(turn_id)
        # Whoever claims it from now on learns by the next heartbeat that it has ended.
        command = RequestCancel(turn_id, unclaimed=row.runner is None)
        try:
            await self._executor.execute(row.session_id, lambda _: command, asker)
        except SessionNotFound:
            raise TurnNotFound from None
        return await self.turn(turn_id, asker.person)

    async def turn_in(self, held: LoadedSession, sequences: Sequence[int]) -> Turn:
        """The turn whose events have these sequences."""
        events = await self._store.events_at(held.session.id, sequences)
        return turn_of(held.session, events, held.key)

    async def owned(self, session_id: UUID, person: Principal) -> LoadedSession:
        """Raises SessionNotFound also for another person's session, and for one that is gone."""
        try:
            held = await self._store.load(session_id)
        except KeyDestroyed:
            held = None
        return owned_by(person, held)

    async def shape(self, held: LoadedSession, person: Principal) -> SessionShape:
        session = held.session
        return session_of(session, await self.described(session), held.key, person)

    async def described(self, session: Session) -> dict[int, Event]:
        """The first event, and those that hold title and metadata."""
        places = {1, session.title_sequence or 1, session.metadata_sequence or 1}
        events = await self._store.events_at(session.id, places)
        return {event.sequence: event for event in events}

    def require_room(self, session: Session, messages: int = 1) -> None:
        """Raises Conflict when the session cannot have that many more messages."""
        if len(session.messages) + messages > self._most_messages:
            raise Conflict(
                f"A session has {self._most_messages} messages at most: start another.",
                code="session_full",
            )


def owned_by(person: Principal, held: LoadedSession | None) -> LoadedSession:
    """Raises SessionNotFound."""
    if held is None or held.session.erased or held.session.deleted:
        raise SessionNotFound
    if (held.session.tenant, held.session.owner) != (person.tenant, person.user):
        raise SessionNotFound
    return held
