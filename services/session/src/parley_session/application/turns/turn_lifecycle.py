"""Turn lifecycle: inference claims a turn, and ends it; abandoned turns are interrupted."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from cachetools import LRUCache

from parley_contracts.api_models import Turn
from parley_contracts.session_api.turns import TurnInput
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import Forbidden, TooLarge
from parley_events.cloudevents import EventTooLarge
from parley_session.application.command_executor import (
    CommandExecutor,
    CommandResult,
    PreparedCommand,
)
from parley_session.application.sessions.session_queries import SessionQueries, require_owned
from parley_session.application.turns.partial_reply_recovery import PartialReplyRecovery
from parley_session.application.turns.prompt_builder import PromptBuilder
from parley_session.domain.context_window import CachedWindow
from parley_session.domain.session.commands import CompleteReply, FailReply
from parley_session.domain.session.errors import SessionNotFound, TurnAlreadyEnded, TurnNotFound
from parley_session.storage.append.append_condition import Abandoned
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_store import StoredTurn, TurnStore

# About 10 MB. Those of turns that end in another process stay until they are evicted.
_MAX_CLAIMED_TURNS = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """`turn_input` is None if another runner has the turn, or it has ended.

    `key` unseals the turn's buffer; it is None once the turn has ended.
    """

    turn: Turn
    turn_input: TurnInput | None
    key: DataKey | None


class _NotAbandoned(Exception):
    """The turn was claimed, or in a heartbeat, after the sweeper listed it."""


class TurnLifecycle:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        sessions: SessionQueries,
        executor: CommandExecutor,
        prompt_builder: PromptBuilder,
        partial_replies: PartialReplyRecovery,
    ) -> None:
        self._store, self._turns, self._sessions = store, turns, sessions
        self._executor, self._prompt_builder = executor, prompt_builder
        self._partial_replies = partial_replies
        self._claimed: LRUCache[UUID, StoredTurn] = LRUCache(_MAX_CLAIMED_TURNS)

    async def claim(
        self,
        turn_id: UUID,
        runner: UUID,
        principal: Principal,
        *,
        cached: CachedWindow | None,
        budgets: Mapping[str, int],
    ) -> Claim:
        """`cached` is the window that the runner has cached; `budgets` are tokens by model."""
        claimed = await self._turns.claim(turn_id, runner, principal)
        if claimed is None:
            return await self._unclaimable(turn_id, principal)
        loaded = require_owned(principal, await self._load_session_of(claimed))
        open_turn = loaded.session.open_turn
        if open_turn is None or open_turn.id != turn_id:
            # Ended after the claim.
            return await self._unclaimable(turn_id, principal)
        self._claimed[turn_id] = claimed
        sequences = claimed.row.sequences
        turn, turn_input = await self._prompt_builder.build(
            loaded, open_turn, sequences, cached, budgets
        )
        return Claim(turn, turn_input, loaded.key)

    async def _load_session_of(self, stored: StoredTurn) -> LoadedSession:
        """Raises SessionNotFound."""
        session_id, version = stored.row.session_id, stored.session_version
        try:
            return await self._store.load_at(session_id, version, stored.wrapped_key)
        except KeyDestroyed:
            raise SessionNotFound from None

    async def _unclaimable(self, turn_id: UUID, principal: Principal) -> Claim:
        turn, loaded = await self._sessions.read_turn_and_session(turn_id, principal)
        return Claim(turn, None, loaded.key if turn.status == "running" else None)

    async def end(self, command: CompleteReply | FailReply, runner: UUID, caller: Caller) -> Turn:
        """The ended turn, which may have ended differently before this command.

        Raises Forbidden, TurnNotFound, and TooLarge for a reply that does not fit an event.
        """
        # A turn keeps its runner, and the append checks the session's version: what the claim read
        # need not be read again.
        stored = self._claimed.pop(command.turn_id, None)
        if stored is None or stored.row.runner != runner:
            stored = await self._turns.find_in_session(command.turn_id)
        row = stored.row
        if row.runner != runner:
            raise Forbidden("Another process runs this turn.", code="not_the_runner")
        try:
            loaded = await self._load_session_of(stored)
            result = await self._executor.execute(
                row.session_id, lambda _: command, caller, as_system=True, preloaded=loaded
            )
        except SessionNotFound:
            # The session was deleted or erased, which ended the turn.
            raise TurnNotFound from None
        except TurnAlreadyEnded:
            return await self._read_ended(command.turn_id)
        except EventTooLarge:
            raise TooLarge("The reply is too large.", code="reply_too_large") from None
        assert isinstance(result, CommandResult)
        end = [event.sequence for event in result.events]
        return await self._sessions.read_turn_at(result.loaded, [*row.sequences, *end])

    async def end_abandoned(
        self, session_id: UUID, turn_id: UUID, lease_seconds: float, caller: Caller
    ) -> bool:
        """End a turn whose lease has expired; False if it has ended, or has a new lease."""

        async def interrupted_reply(loaded: LoadedSession | None) -> PreparedCommand:
            if loaded is None or not await self._turns.is_abandoned(turn_id, lease_seconds):
                raise _NotAbandoned
            command = await self._partial_replies.interrupted_reply(turn_id, loaded.key)
            return PreparedCommand(command, Abandoned(turn_id, lease_seconds))

        try:
            await self._executor.execute(session_id, interrupted_reply, caller, as_system=True)
        except (_NotAbandoned, TurnAlreadyEnded, SessionNotFound):
            # SessionNotFound: the session was erased meanwhile, which ended its turn.
            return False
        return True

    async def end_cancelled(self, session_id: UUID, turn_id: UUID, caller: Caller) -> None:
        """End a cancelled turn in place of its runner, with the text in the turn's buffer.

        The runner learns how the turn ended when it tries to end it.
        """

        async def partial_reply(loaded: LoadedSession | None) -> FailReply:
            if loaded is None:
                raise SessionNotFound
            return await self._partial_replies.interrupted_reply(turn_id, loaded.key)

        # SessionNotFound: the session was erased meanwhile, which ended its turn.
        with suppress(TurnAlreadyEnded, SessionNotFound):
            await self._executor.execute(session_id, partial_reply, caller, as_system=True)

    async def _read_ended(self, turn_id: UUID) -> Turn:
        row = await self._turns.find(turn_id)
        try:
            loaded = await self._store.load(row.session_id)
        except KeyDestroyed:
            loaded = None
        if loaded is None:
            raise TurnNotFound
        return await self._sessions.read_turn_at(loaded, row.sequences)
