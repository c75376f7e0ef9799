"""One claimed turn on its way to its end: made, committed, and only then shown as ended."""

from dataclasses import dataclass

from parley_core.auth.principal import Principal
from parley_inference.models.outcome import Ending
from parley_inference.session.client import SessionClient
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.turns.commit import commit
from parley_inference.turns.follow import follow
from parley_inference.turns.generation import Generation, Provider


@dataclass(frozen=True, slots=True)
class Caller:
    """In whose name a turn was claimed, and by which request."""

    principal: Principal
    request_id: str


class TurnRun:
    """Goes on whoever reads it; a turn that cannot be made has its failure for its work."""

    def __init__(self, live: LiveTurn, asker: Caller, work: Generation | Ending) -> None:
        self.live = live
        self.ours = True
        self._work, self._asker = work, asker

    def stop(self, reason: str) -> None:
        """`cancelled`, `interrupted`, or what session says of a turn that is not ours any more."""
        if isinstance(self._work, Ending):
            return  # Made already: the commit learns how the turn ended.
        if reason not in ("cancelled", "interrupted"):
            self.ours = False
        self._work.stop("cancelled" if reason == "cancelled" else "interrupted")

    async def go(
        self,
        session: SessionClient,
        provider: Provider,
        *,
        commit_pause_seconds: float,
        follow_seconds: float,
    ) -> None:
        ending = await self._make(provider)
        if self.ours:
            turn = await commit(
                session,
                self.live,
                ending,
                request_id=self._asker.request_id,
                most_pause_seconds=commit_pause_seconds,
            )
            if turn is not None:
                self.live.end(turn)
                return
            self.ours = False
        await follow(
            session,
            self.live,
            self._asker.principal,
            request_id=self._asker.request_id,
            every_seconds=follow_seconds,
        )

    async def _make(self, provider: Provider) -> Ending:
        if not isinstance(self._work, Ending):
            self._work = await self._work.make(provider)
        return self._work
