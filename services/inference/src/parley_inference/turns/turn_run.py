"""Runs one claimed turn: generate the reply, commit its outcome, then publish the end."""

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

    `owned` becomes False when session says that the turn belongs to another runner.
    """

    def __init__(self, live: LiveTurn, caller: Caller, work: Generation | ReplyOutcome) -> None:
        self.live = live
        self.owned = True
        self._work, self._caller = work, caller

    def stop(self, reason: str) -> None:
        """Stop for `cancelled` or `interrupted`; any other reason means that it is not owned."""
        if isinstance(self._work, ReplyOutcome):
            return  # Already generated; session decides at the commit how the turn ends.
        if reason not in ("cancelled", "interrupted"):
            self.owned = False
        self._work.stop("cancelled" if reason == "cancelled" else "interrupted")

    async def run(self, session: SessionClient, provider: Provider) -> None:
        outcome = await self._generate(provider)
        if self.owned:
            request_id = self._caller.request_id
            turn = await commit(session, self.live, outcome, request_id=request_id)
            if turn is not None:
                self.live.end(turn)
                return
            self.owned = False
        await follow(session, self.live, self._caller)

    async def _generate(self, provider: Provider) -> ReplyOutcome:
        if not isinstance(self._work, ReplyOutcome):
            self._work = await self._work.run(provider)
        return self._work
