"""The turns that this process runs, and those of other processes that it follows."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Set
from typing import Any, TypeVar
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_core.auth.caller import Caller
from parley_core.crypto.sealing import DataKey
from parley_core.runtime.request_context import bind_log_fields
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.tracing.spans import Span, span
from parley_inference.models.provider import Provider
from parley_inference.session.client import SessionClient
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.live_turn_registry import LiveTurnRegistry
from parley_inference.streaming.turn_buffering import TurnBuffering
from parley_inference.turns.follow import follow
from parley_inference.turns.turn_run import TurnRun

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class RunningTurns:
    """Each turn is one task, registered in `live_turns` while it runs and for a while after.

    At most `max_turns` turns of this process call a model at once; the others wait. Without
    `buffering` a followed turn shows its text only when it has ended.
    """

    def __init__(
        self,
        session: SessionClient,
        provider: Provider,
        live_turns: LiveTurnRegistry,
        buffering: TurnBuffering | None = None,
        *,
        max_turns: int,
        observe_ended: Callable[[Turn, float], None] = lambda _, __: None,
    ) -> None:
        """`observe_ended` gets each turn that ended here, and the seconds that it took.

        `lost` counts the turns that session had ended, or given to another process.
        """
        self._session, self._provider = session, provider
        self._observe_ended = observe_ended
        self.max_turns, self._slots = max_turns, asyncio.Semaphore(max_turns)
        self._live_turns, self._buffering = live_turns, buffering
        self._runs: dict[UUID, TurnRun] = {}
        self._followed: set[LiveTurn] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._interrupted = False
        self.lost = 0

    @property
    def owned(self) -> list[UUID]:
        """The turns that this process must end; some wait for a slot, some are being committed."""
        return [turn_id for turn_id, run in self._runs.items() if run.owned]

    @property
    def waiting(self) -> int:
        """Number of turns that wait for a slot."""
        return sum(run.waiting for run in self._runs.values())

    @property
    def followed(self) -> int:
        """Number of followed turns."""
        return len(self._followed)

    def run(self, turn_run: TurnRun, on_ended: Callable[[Turn], None]) -> None:
        """Run a claimed turn in the background; `on_ended` is called if it ends as owned."""
        self._runs[turn_run.live.id] = turn_run
        if self._interrupted:
            turn_run.stop("interrupted")

        async def run() -> None:
            bind_log_fields(
                turn_id=str(turn_run.live.id), session_id=str(turn_run.live.turn.session_id)
            )
            started_at = time.monotonic()
            with _turn_span(turn_run.live.turn) as turn_span:
                await turn_run.run(self._session, self._provider, self._slots)
                self.lost += not turn_run.owned
                if turn_run.owned and (ended := turn_run.live.ended) is not None:
                    _record_end(turn_span, ended)
                    self._observe_ended(ended, time.monotonic() - started_at)
                    on_ended(ended)

        self._spawn_turn(turn_run.live, run())

    def follow(self, live: LiveTurn, caller: Caller, key: DataKey | None) -> None:
        """Follow a turn of another process; `key` unseals its buffer."""
        self._followed.add(live)
        if self._buffering is not None and key is not None:
            self._buffering.follow(live, key)
        self._spawn_turn(live, follow(self._session, live, caller))

    def stop(self, turn_id: UUID, reason: str) -> None:
        """Stop a turn as session's answer to a heartbeat requests."""
        if run := self._runs.get(turn_id):
            run.stop(reason)

    def erase(self, session_ids: Set[UUID]) -> None:
        """Stop or discard the turns of erased sessions."""
        for live in self._followed:
            if live.turn.session_id in session_ids:
                live.discard()
        for run in self._runs.values():
            if run.live.turn.session_id in session_ids:
                run.stop("not_yours")

    def discard_followed(self) -> None:
        """Discard the turns of other processes, so that their subscribers reconnect elsewhere."""
        not_owned = {run.live for run in self._runs.values() if not run.owned}
        for live in self._followed | not_owned:
            live.discard()

    def interrupt_all(self) -> None:
        """End all replies with the text generated so far, and those that start from now on."""
        self._interrupted = True
        for run in self._runs.values():
            run.stop("interrupted")

    def cancel_all(self) -> None:
        """Cancel everything; session ends uncommitted turns when their heartbeats cease."""
        for task in self._tasks:
            task.cancel()

    async def wait_until_idle(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Start a task that belongs to the turns: cancelled and waited for with them."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn_turn(self, live: LiveTurn, work: Coroutine[Any, Any, None]) -> None:
        def on_done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log_unexpected_error(log, f"turn {live.id}", error)
            self._runs.pop(live.id, None)
            self._followed.discard(live)
            if self._buffering is not None:
                self._buffering.unfollow(live)
            if live.ended is None:
                live.discard()
            self._live_turns.mark_ended(live)

        self._live_turns.add(live)
        self.spawn(work).add_done_callback(on_done)


def _turn_span(turn: Turn) -> Span:
    """Part of the request that opened the turn, which it may outlive."""
    attributes = {"gen_ai.conversation.id": str(turn.session_id), "parley.turn_id": str(turn.id)}
    return span("turn", attributes=attributes)


def _record_end(turn_span: Span, ended: Turn) -> None:
    turn_span.set({"parley.turn_status": ended.status})
    if ended.status == "failed" and ended.error is not None:
        turn_span.fail(ended.error.code or "internal")
