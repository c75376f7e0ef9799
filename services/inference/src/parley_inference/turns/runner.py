"""The turns of this process: each is claimed once, made to its end, and read by any number."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Set
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import NotFound, Unavailable
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.streaming.turn_buffer import StreamHeader
from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.models.model_catalogue import Model, ModelCatalogue
from parley_inference.models.outcome import Failed
from parley_inference.session.client import SessionClient, TurnInput
from parley_inference.session.context_window_cache import (
    CachedWindow,
    ContextWindowCache,
    prompt_of,
)
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.live_turn_registry import LiveTurnRegistry
from parley_inference.streaming.reply_text import ReplyText
from parley_inference.turns.claim import claim_turn
from parley_inference.turns.follow import follow
from parley_inference.turns.generation import Generation, Provider
from parley_inference.turns.turn_run import Caller, TurnRun

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_Key = tuple[UUID, str, str]


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """Seconds, bytes and counts; see the settings of the same names."""

    turns: int
    reply_bytes: int
    follow_seconds: float
    commit_pause_seconds: float


class TurnBuffering(Protocol):
    """Shows what is streamed here to other processes, and what is streamed there here."""

    def begin(self, live: LiveTurn, key: DataKey, seconds: float) -> None: ...

    def follow(self, live: LiveTurn, key: DataKey) -> None: ...

    def leave(self, live: LiveTurn) -> None: ...

    def erase(self, turn_ids: Iterable[UUID]) -> None: ...


class Runner:
    """Without `buffering` other processes learn of a turn only how it ended."""

    def __init__(
        self,
        session: SessionClient,
        provider: Provider,
        catalogue: ModelCatalogue,
        windows: ContextWindowCache,
        live_turns: LiveTurnRegistry,
        afterwards: PostReplyTasks,
        limits: RunnerLimits,
        buffering: TurnBuffering | None = None,
    ) -> None:
        self.claims = True
        self._session, self._provider, self._catalogue = session, provider, catalogue
        self._windows, self._live, self._limits = windows, live_turns, limits
        self._afterwards, self._buffering = afterwards, buffering
        self._opening: dict[_Key, asyncio.Task[LiveTurn]] = {}
        self._runs: dict[UUID, TurnRun] = {}
        self._followed: set[LiveTurn] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._interrupts = False

    @property
    def running(self) -> list[UUID]:
        """The turns that this process answers for, also those that wait for their commit."""
        return [turn_id for turn_id, run in self._runs.items() if run.ours]

    @property
    def followed(self) -> int:
        """How many turns of other processes are read here."""
        return len(self._followed)

    @property
    def holds_text(self) -> bool:
        """Whether anything is kept here of what was said."""
        return bool(self._windows or self._live)

    async def open(self, turn_id: UUID, session_id: UUID, asker: Caller) -> LiveTurn:
        """The turn, claimed and running by now if nobody had claimed it.

        `session_id` tells which window is held for it. Raises a ParleyError.
        """
        live = self._live.get(turn_id)
        if live is not None:
            if not live.belongs_to(asker.principal):
                raise NotFound("There is no such turn.", code="turn_not_found")
            return live
        # Requests at the same moment share one claim; it goes on when the first one leaves.
        key = (turn_id, asker.principal.tenant, asker.principal.user)
        opening = self._opening.get(key)
        if opening is None:
            opening = self._opening[key] = self._spawn(self._open(turn_id, session_id, asker))
            opening.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(opening)

    def stop(self, turn_id: UUID, reason: str) -> None:
        """What session's answer to a heartbeat asks for."""
        if run := self._runs.get(turn_id):
            run.stop(reason)

    def erase(self, session_ids: Set[UUID]) -> None:
        """Forget everything of sessions that were erased."""
        for session_id in session_ids:
            self._windows.drop(session_id)
        erased = self._live.of(session_ids)
        if self._buffering is not None:
            self._buffering.erase(live.id for live in erased)
        for live in self._followed.intersection(erased):
            live.abandon()
        self._live.drop(session_ids)
        self._afterwards.drop(session_ids)
        for run in self._runs.values():
            if run.live.turn.session_id in session_ids:
                run.stop("not_yours")

    def forget(self) -> None:
        """Forget all that no turn needs: some of it may have been erased, and nobody said so."""
        self._windows.clear()
        self._live.drop()

    def tidy(self) -> None:
        """Forget what was kept for its time."""
        now = time.monotonic()
        self._windows.expire(now)
        self._live.expire(now)

    def stop_claiming(self) -> None:
        """Take on no turn from now on; who reads a turn of another process asks elsewhere."""
        self.claims = False
        lost = {run.live for run in self._runs.values() if not run.ours}
        for live in self._followed | lost:
            live.abandon()

    def interrupt(self) -> None:
        """End what still streams, with what there is of it."""
        self._interrupts = True
        self._afterwards.give_up()
        for run in self._runs.values():
            run.stop("interrupted")

    def give_up(self) -> None:
        """Session ends what is not committed by now, when no heartbeat names it."""
        for task in self._tasks:
            task.cancel()

    async def idle(self) -> None:
        """Until nothing runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._afterwards.idle()

    async def _open(self, turn_id: UUID, session_id: UUID, asker: Caller) -> LiveTurn:
        if not self.claims or len(self.running) + len(self._opening) > self._limits.turns:
            return await self._open_ended(turn_id, asker)
        claim, window = await claim_turn(self._session, self._windows, turn_id, session_id, asker)
        live = self._live_turn(claim.turn, asker)
        if claim.run is not None and window is not None:
            self._run(live, claim.run, window, asker, claim.key)
        elif live.ended is None:
            self._follow(live, asker, claim.key)
        return live

    def _opened(self, key: _Key, opening: asyncio.Task[LiveTurn]) -> None:
        del self._opening[key]
        if not opening.cancelled():
            opening.exception()  # Seen, also when every request that waited for it has left.

    async def _open_ended(self, turn_id: UUID, asker: Caller) -> LiveTurn:
        """An ended turn can be read from a process that takes on no more."""
        turn = await self._session.turn(turn_id, asker.principal, asker.request_id)
        if turn.status == "running":
            raise Unavailable(
                "This process takes on no more replies for now; try again.", code="inference_busy"
            )
        return self._live_turn(turn, asker)

    def _run(
        self,
        live: LiveTurn,
        run: TurnInput,
        window: CachedWindow,
        asker: Caller,
        key: DataKey | None,
    ) -> None:
        model = self._catalogue.get(run.model)
        work: Generation | Failed
        if model is None:
            work = Failed("model_unknown")
        elif run.context.too_long:
            work = Failed("context_too_long")
        else:
            prompt = prompt_of(run.instructions, window, run.context.tokens)
            work = Generation(live, self._catalogue.line(model, prompt.tokens), prompt)
            live.opening = StreamHeader(
                model=model.name, prompt_tokens=prompt.tokens, price=model.price
            )
            if self._buffering is not None and key is not None:
                self._buffering.begin(live, key, model.limits.total)
        turn_run = self._runs[live.id] = TurnRun(live, asker, work)
        if self._interrupts:
            turn_run.stop("interrupted")
        self._keep_until_settled(live, self._go(turn_run, run, window, model))

    async def _go(
        self, turn_run: TurnRun, run: TurnInput, window: CachedWindow, model: Model | None
    ) -> None:
        await turn_run.go(
            self._session,
            self._provider,
            commit_pause_seconds=self._limits.commit_pause_seconds,
            follow_seconds=self._limits.follow_seconds,
        )
        if turn_run.ours and model is not None and (ended := turn_run.live.ended) is not None:
            self._afterwards.reply_made(ended, run, window, model)

    def _follow(self, live: LiveTurn, asker: Caller, key: DataKey | None) -> None:
        self._followed.add(live)
        if self._buffering is not None and key is not None:
            self._buffering.follow(live, key)
        following = follow(
            self._session,
            live,
            asker.principal,
            request_id=asker.request_id,
            every_seconds=self._limits.follow_seconds,
        )
        self._keep_until_settled(live, following)

    def _live_turn(self, turn: Turn, asker: Caller) -> LiveTurn:
        return LiveTurn(turn, asker.principal, ReplyText(self._limits.reply_bytes))

    def _keep_until_settled(self, live: LiveTurn, work: Coroutine[Any, Any, None]) -> None:
        def settle(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log_unexpected_error(log, f"turn {live.id}", error)
            self._runs.pop(live.id, None)
            self._followed.discard(live)
            if self._buffering is not None:
                self._buffering.leave(live)
            if live.ended is None:
                live.abandon()
            self._live.settle(live, time.monotonic())

        self._live.add(live)
        self._spawn(work).add_done_callback(settle)

    def _spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
