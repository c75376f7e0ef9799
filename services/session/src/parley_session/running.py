"""Who runs a turn: claims, heartbeats and ends, as inference asks for them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from parley_core.cloudevents import EventTooLarge
from parley_core.errors import Forbidden, TooLarge
from parley_core.principal import Principal
from parley_core.shapes import Message, Turn
from parley_session.assistants import Assistants
from parley_session.contents import message_of, turn_of
from parley_session.domain.commands import CompleteReply, FailReply
from parley_session.domain.context import context_of
from parley_session.domain.refusals import TurnAlreadyEnded, TurnUnknown
from parley_session.domain.state import OpenTurn
from parley_session.event_store import EventStore, Held
from parley_session.executing import Asker, Executed, Executor
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
        row = await self._turns.claim(turn_id, runner, person)
        if row is None:
            return Claim(await self._sessions.turn(turn_id, person), None)
        held = await self._sessions.owned(row.session_id, person)
        if held.session.open_turn is None or held.session.open_turn.id != turn_id:
            # It has ended since it was claimed.
            return Claim(await self._sessions.turn(turn_id, person), None)
        return await self._run(held, held.session.open_turn, row.sequences, since)

    async def end(self, command: CompleteReply | FailReply, runner: UUID, asker: Asker) -> Turn:
        """The turn as it ended, by this command or before it.

        Raises Forbidden, TurnUnknown, and TooLarge for a reply that no event can hold.
        """
        row = await self._turns.find(command.turn_id)
        if row.runner != runner:
            raise Forbidden("Another process runs this turn.", code="not_the_runner")
        try:
            done = await self._executor.execute(row.session_id, lambda _: command, asker)
        except TurnAlreadyEnded:
            # Whoever comes second is told how it ended.
            return await self._ended(command.turn_id)
        except EventTooLarge:
            raise TooLarge("The reply is too large.", code="reply_too_large") from None
        assert isinstance(done, Executed)
        end = [event.sequence for event in done.events]
        return await self._sessions.turn_in(done.held, [*row.sequences, *end])

    async def desert(self, session_id: UUID, turn_id: UUID, asker: Asker) -> None:
        """End a turn that nobody runs any more."""
        details = "The process that made the reply was lost; try again."
        command = FailReply(turn_id, "interrupted", details=details)
        with suppress(TurnAlreadyEnded):
            await self._executor.execute(session_id, lambda _: command, asker)

    async def _ended(self, turn_id: UUID) -> Turn:
        row = await self._turns.find(turn_id)
        held = await self._store.load(row.session_id)
        if held is None:
            raise TurnUnknown
        return await self._sessions.turn_in(held, row.sequences)

    async def _run(
        self, held: Held, open_turn: OpenTurn, sequences: Sequence[int], since: int | None
    ) -> Claim:
        session, key = held.session, held.key
        assistant = self._assistants.get(session.assistant_id)
        context = context_of(
            session, open_turn.message_id, budget=self._context_tokens, since=since
        )
        shown = [place.sequence for _, place in context.places]
        # Read once: the turn's own message is the last of the context.
        events = await self._store.events_at(session.id, [*{*shown, *sequences}])
        by_sequence = {event.sequence: event for event in events}
        run = Run(
            model=open_turn.model,
            instructions=assistant.instructions,
            base=context.base,
            version=session.version,
            messages=[message_of(by_sequence[place], None, key) for place in shown],
        )
        return Claim(turn_of(session, [by_sequence[place] for place in sequences], key), run)
