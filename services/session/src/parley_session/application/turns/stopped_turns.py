"""Stopped turns: a command that meets a cancelled turn waits for its end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from parley_contracts.session_api.turns import OnOpenTurn
from parley_core.auth.caller import Caller
from parley_core.http.errors import Unavailable
from parley_core.runtime.backoff import Backoff
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.domain.session.errors import TurnOpen
from parley_session.storage.turn_store import TurnStore

# The runner of a cancelled turn normally ends it within a few milliseconds.
WAIT_SECONDS = 2
MAX_WAITING = 200
_POLL_INITIAL_SECONDS, _POLL_MAX_SECONDS = 0.01, 0.1
# Another request may open a turn first, which `interrupt` then cancels as well.
_MAX_TURNS_PER_REQUEST = 2

Result = TypeVar("Result")


class StoppedTurns:
    def __init__(
        self, turns: TurnStore, sessions: SessionQueries, lifecycle: TurnLifecycle
    ) -> None:
        self._turns, self._sessions, self._lifecycle = turns, sessions, lifecycle
        self._waiting = 0

    async def execute(
        self,
        session_id: UUID,
        command: Callable[[], Awaitable[Result]],
        caller: Caller,
        on_open_turn: OnOpenTurn = "reject",
    ) -> Result:
        """Execute the command again once the cancelled turn that it met has ended.

        With `interrupt` an open turn is cancelled first. Raises TurnOpen for one that is not
        cancelled, and Unavailable if too many requests wait.
        """
        for _ in range(_MAX_TURNS_PER_REQUEST):
            try:
                return await command()
            except TurnOpen as open_turn:
                if not open_turn.cancelled and on_open_turn == "reject":
                    raise
                turn_id = open_turn.turn_id
            with self._waiting_request():
                # Repeated for a cancelled turn, which has no effect.
                await self._sessions.cancel(turn_id, caller)
                if not await self._ended(turn_id):
                    await self._lifecycle.end_cancelled(session_id, turn_id, caller)
        return await command()

    async def _ended(self, turn_id: UUID) -> bool:
        """Whether the runner ended the turn in time."""
        backoff = Backoff(_POLL_INITIAL_SECONDS, _POLL_MAX_SECONDS, deadline_seconds=WAIT_SECONDS)
        while await self._turns.is_open(turn_id):
            if (delay := backoff.next_delay()) is None:
                return False
            await asyncio.sleep(delay)
        return True

    @contextmanager
    def _waiting_request(self) -> Iterator[None]:
        if self._waiting >= MAX_WAITING:
            raise Unavailable(
                "Too many requests wait for the end of stopped replies. Please retry.",
                code="session_busy",
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
