"""Runs one claimed turn: generate the reply, commit its outcome, then publish the end."""

import asyncio

from parley_core.auth.caller import Caller
from parley_inference.models.outcome import ReplyOutcome
from parley_inference.models.provider import Provider
from parley_inference.session.client import SessionClient
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.turns.commit import commit
from parley_inference.turns.follow import follow
from parley_inference.turns.generation import Generation


class TurnRun:
    """Runs independently of its subscribers; a turn that cannot be generated starts as `Failed`.

    It waits for a slot before it calls the model. `owned` becomes False when session says that the
    turn belongs to another runner.
    """

    def __init__(self, live: LiveTurn, caller: Caller, work: Generation | ReplyOutcome) -> None:
        self.live = live
        self.owned = True
        self._work, self._caller = work, caller
        self._wait: asyncio.Timeout | None = None

    @property
    def waiting(self) -> bool:
        """Whether it waits for a slot."""
        return self._wait is not None

    def stop(self, reason: str) -> None:
        """Stop for `cancelled` or `interrupted`; any other reason means that it is not owned."""
        if isinstance(self._work, ReplyOutcome):
            return  # Already generated; session decides at the commit how the turn ends.
        if reason not in ("cancelled", "interrupted"):
            self.owned = False
        self._work.stop("cancelled" if reason == "cancelled" else "interrupted")
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def run(
        self, session: SessionClient, provider: Provider, slots: asyncio.Semaphore
    ) -> None:
        outcome = await self._generate(provider, slots)
        if self.owned:
            request_id = self._caller.request_id
            turn = await commit(session, self.live, outcome, request_id=request_id)
            if turn is not None:
                self.live.end(turn)
                return
            self.owned = False
        await follow(session, self.live, self._caller)

    async def _generate(self, provider: Provider, slots: asyncio.Semaphore) -> ReplyOutcome:
        if isinstance(self._work, ReplyOutcome):
            return self._work
        has_slot = await self._wait_for_slot(slots)
        try:
            # Without a slot it was stopped, so that no model is called.
            self._work = await self._work.run(provider)
        finally:
            if has_slot:
                slots.release()
        return self._work

    async def _wait_for_slot(self, slots: asyncio.Semaphore) -> bool:
        """False if the turn was stopped while it waited.

        Without a deadline: an accepted turn does not fail for want of room. The turns that hold
        the slots have one.
        """
        try:
            async with asyncio.timeout(None) as self._wait:
                await slots.acquire()
        except TimeoutError:
            return False
        finally:
            self._wait = None
        return True
