"""Who runs a turn: claims, heartbeats and ends, as inference asks for them."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from parley_core.cloudevents import EventTooLarge
from parley_core.errors import Forbidden, TooLarge
from parley_core.principal import Principal
from parley_core.shapes import Message, Turn
from parley_session.assistants import Assistants
from parley_session.contents import message_of
from parley_session.domain.commands import CompleteReply, FailReply
from parley_session.domain.context import context_of
from parley_session.domain.refusals import TurnAlreadyEnded, TurnUnknown
from parley_session.event_store import EventStore, Held
from parley_session.executing import Asker, Executor
from parley_session.sessions import Sessions
from parley_session.turn_store import TurnStore


@dataclass(frozen=True, slots=True)
class Run:
    """What a reply is made from; `messages` continue the window of the version `base`, if any."""

    model: str
    instructions: str
    base: int | None
    version: int
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Claim:
    """`run` is None when another runner has the turn, or it has ended."""

    turn: Turn
    run: Run | None


class Running:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        sessions: Sessions,
        executor: Executor,
        assistants: Assistants,
        *,
        context_tokens: int,
    ) -> None:
        self._store, self._turns, self._sessions = store, turns, sessions
        self._executor, self._assistants = executor, assistants
        self._context_tokens = context_tokens

    async def claim(
        self, turn_id: UUID, runner: UUID, since: int | None, person: Principal
    ) -> Claim:
        """`since` is the version of the context that the runner holds already."""
        row, held = await self._sessions.owned_turn(turn_id, person)
        if not await self._turns.claim(turn_id, runner):
            return Claim(await self._sessions.turn(turn_id, person), None)
        # It was open when it was claimed, so it is in what was loaded before.
        turn = await self._sessions.turn_in(held, row.sequences)
        return Claim(turn, await self._run(held, turn, since))

    async def end(self, command: CompleteReply | FailReply, runner: UUID, asker: Asker) -> Turn:
        """The turn as it ended, by this command or before it.

        Raises Forbidden, TurnUnknown, and TooLarge for a reply that no event can hold.
        """
        row = await self._turns.find(command.turn_id)
        if row.runner != runner:
            raise Forbidden("Another process runs this turn.", code="not_the_runner")
        # Whoever comes second is told how it ended.
        try:
            with suppress(TurnAlreadyEnded):
                await self._executor.execute(row.session_id, command, asker)
        except EventTooLarge:
            raise TooLarge("The reply is too large.", code="reply_too_large") from None
        return await self._ended(command.turn_id)

    async def desert(self, session_id: UUID, turn_id: UUID, asker: Asker) -> None:
        """End a turn that nobody runs any more."""
        details = "The process that made the reply was lost; try again."
        command = FailReply(turn_id, "interrupted", details=details)
        with suppress(TurnAlreadyEnded):
            await self._executor.execute(session_id, command, asker)

    async def _ended(self, turn_id: UUID) -> Turn:
        row = await self._turns.find(turn_id)
        held = await self._store.load(row.session_id)
        if held is None:
            raise TurnUnknown
        return await self._sessions.turn_in(held, row.sequences)

    async def _run(self, held: Held, turn: Turn, since: int | None) -> Run:
        session = held.session
        assistant = self._assistants.get(session.assistant_id)
        context = context_of(session, turn.message.id, budget=self._context_tokens, since=since)
        sequences = [place.sequence for _, place in context.places]
        events = await self._store.events_at(session.id, sequences)
        assert session.open_turn is not None
        return Run(
            model=session.open_turn.model,
            instructions=assistant.instructions,
            base=context.base,
            version=session.version,
            messages=[message_of(event, None, held.key) for event in events],
        )
