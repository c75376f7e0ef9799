"""Who runs a turn: claims, heartbeats and ends, as inference asks for them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import Forbidden, TooLarge
from parley_events.cloudevents import EventTooLarge
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.command_executor import Caller, CommandExecutor, CommandResult
from parley_session.application.sessions.session_queries import SessionQueries, owned_by
from parley_session.application.turns.partial_reply_recovery import PartialReplyRecovery
from parley_session.application.turns.prompt_builder import PromptBuilder, TurnInput
from parley_session.domain.context_window import HeldWindow
from parley_session.domain.session.commands import CompleteReply, FailReply
from parley_session.domain.session.errors import SessionNotFound, TurnAlreadyEnded, TurnNotFound
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_store import StoredTurn, TurnStore


@dataclass(frozen=True, slots=True)
class Claim:
    """`run` is None when another runner has the turn, or it has ended.

    `key` opens what is buffered of the reply, and is None once the turn has ended.
    """

    turn: Turn
    run: TurnInput | None
    key: DataKey | None


class TurnLifecycle:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        sessions: SessionQueries,
        executor: CommandExecutor,
        assistants: Catalogue,
        left_behind: PartialReplyRecovery,
        *,
        context_tokens: int,
    ) -> None:
        self._store, self._turns, self._sessions = store, turns, sessions
        self._executor, self._left_behind = executor, left_behind
        self._prompting = PromptBuilder(store, assistants, context_tokens)

    async def claim(
        self,
        turn_id: UUID,
        runner: UUID,
        person: Principal,
        *,
        since: HeldWindow | None,
        budgets: Mapping[str, int],
    ) -> Claim:
        """`since` is the window that the runner holds; `budgets` are tokens, by model."""
        claimed = await self._turns.claim(turn_id, runner, person)
        if claimed is None:
            return await self._not_claimed(turn_id, person)
        held = owned_by(person, await self._session_of(claimed))
        if held.session.open_turn is None or held.session.open_turn.id != turn_id:
            # It has ended since it was claimed.
            return await self._not_claimed(turn_id, person)
        turn = held.session.open_turn
        asked, run = await self._prompting.run(held, turn, claimed.row.sequences, since, budgets)
        return Claim(asked, run, held.key)

    async def _session_of(self, stored: StoredTurn) -> LoadedSession:
        """Raises SessionNotFound."""
        session_id, version = stored.row.session_id, stored.session_version
        try:
            return await self._store.load_at(session_id, version, stored.wrapped_key)
        except KeyDestroyed:
            raise SessionNotFound from None

    async def _not_claimed(self, turn_id: UUID, person: Principal) -> Claim:
        turn, held = await self._sessions.turn_and_session(turn_id, person)
        return Claim(turn, None, held.key if turn.status == "running" else None)

    async def end(self, command: CompleteReply | FailReply, runner: UUID, asker: Caller) -> Turn:
        """The turn as it ended, by this command or before it.

        Raises Forbidden, TurnNotFound, and TooLarge for a reply that no event can hold.
        """
        stored = await self._turns.find_in_session(command.turn_id)
        row = stored.row
        if row.runner != runner:
            raise Forbidden("Another process runs this turn.", code="not_the_runner")
        try:
            held = await self._session_of(stored)
            done = await self._executor.execute(
                row.session_id, lambda _: command, asker, loaded=held
            )
        except SessionNotFound:
            # It was deleted or erased, which ended the turn.
            raise TurnNotFound from None
        except TurnAlreadyEnded:
            # Whoever comes second is told how it ended.
            return await self._ended(command.turn_id)
        except EventTooLarge:
            raise TooLarge("The reply is too large.", code="reply_too_large") from None
        assert isinstance(done, CommandResult)
        end = [event.sequence for event in done.events]
        return await self._sessions.turn_in(done.held, [*row.sequences, *end])

    async def end_abandoned(self, session_id: UUID, turn_id: UUID, asker: Caller) -> None:
        """End a turn that nobody runs any more."""

        async def interrupted(held: LoadedSession | None) -> FailReply:
            if held is None:
                raise SessionNotFound
            return await self._left_behind.interrupted(turn_id, held.key)

        # A session that was erased meanwhile ended its turn.
        with suppress(TurnAlreadyEnded, SessionNotFound):
            await self._executor.execute(session_id, interrupted, asker)

    async def _ended(self, turn_id: UUID) -> Turn:
        row = await self._turns.find(turn_id)
        try:
            held = await self._store.load(row.session_id)
        except KeyDestroyed:
            held = None
        if held is None:
            raise TurnNotFound
        return await self._sessions.turn_in(held, row.sequences)
