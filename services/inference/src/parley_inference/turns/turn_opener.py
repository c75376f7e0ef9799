"""Opens a turn for a subscriber: one claim per turn, and the start of its run."""

import asyncio
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_contracts.session_api.limits import MAX_REPLY_BYTES, MAX_TURNS_PER_HEARTBEAT
from parley_contracts.session_api.turns import TurnInput
from parley_core.auth.caller import Caller
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import NotFound, Unavailable
from parley_core.streaming.turn_buffer import StreamHeader
from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.models.model_catalogue import Model, ModelCatalogue
from parley_inference.models.outcome import Failed
from parley_inference.session.client import SessionClient
from parley_inference.session.context_window_cache import (
    ContextWindow,
    ContextWindowCache,
    build_prompt,
)
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.live_turn_registry import LiveTurnRegistry
from parley_inference.streaming.reply_text import ReplyText
from parley_inference.streaming.turn_buffering import TurnBuffering
from parley_inference.turns.claim import claim_turn
from parley_inference.turns.generation import Generation
from parley_inference.turns.running_turns import RunningTurns
from parley_inference.turns.turn_run import TurnRun

_OpeningKey = tuple[UUID, str, str]


class TurnOpener:
    """Claims every turn that it is asked for, since session has admitted it.

    `accepting` is False during shutdown, and then `capacity` is 0; otherwise it is `max_turns`,
    the number of turns that run at once. Without `buffering` other processes only see the end of
    a turn that runs here.
    """

    def __init__(
        self,
        session: SessionClient,
        catalogue: ModelCatalogue,
        windows: ContextWindowCache,
        live_turns: LiveTurnRegistry,
        running: RunningTurns,
        post_reply_tasks: PostReplyTasks,
        *,
        max_turns: int,
        buffering: TurnBuffering | None = None,
    ) -> None:
        self.accepting = True
        self._session, self._catalogue, self._windows = session, catalogue, windows
        self._live_turns, self._running = live_turns, running
        self._post_reply_tasks, self._max_turns = post_reply_tasks, max_turns
        self._buffering = buffering
        self._opening: dict[_OpeningKey, asyncio.Task[LiveTurn]] = {}

    @property
    def capacity(self) -> int:
        return self._max_turns if self.accepting else 0

    async def open(self, turn_id: UUID, session_id: UUID, caller: Caller) -> LiveTurn:
        """Return the turn, claimed and running from now on if it was unclaimed.

        `session_id` selects the cached context window. Raises a ParleyError.
        """
        live = self._live_turns.get(turn_id)
        if live is not None:
            if not live.belongs_to(caller.principal):
                raise NotFound("The turn does not exist.", code="turn_not_found")
            return live
        # Concurrent requests share one claim, which continues when the first of them disconnects.
        key = (turn_id, caller.principal.tenant, caller.principal.user)
        opening = self._opening.get(key)
        if opening is None:
            opening = self._running.spawn(self._open(turn_id, session_id, caller))
            self._opening[key] = opening
            opening.add_done_callback(lambda done: self._on_opened(key, done))
        return await asyncio.shield(opening)

    async def _open(self, turn_id: UUID, session_id: UUID, caller: Caller) -> LiveTurn:
        # `_opening` includes this turn.
        turns = len(self._running.owned) + len(self._opening)
        if not self.accepting or turns > MAX_TURNS_PER_HEARTBEAT:
            return await self._open_ended(turn_id, caller)
        claim, window = await claim_turn(self._session, self._windows, turn_id, session_id, caller)
        live = _live_turn(claim.turn, caller)
        if claim.input is not None and window is not None:
            self._run(live, claim.input, window, caller, claim.key)
        elif live.ended is None:
            self._running.follow(live, caller, claim.key)
        return live

    def _on_opened(self, key: _OpeningKey, opening: asyncio.Task[LiveTurn]) -> None:
        del self._opening[key]
        if not opening.cancelled():
            opening.exception()  # Mark as retrieved: every waiting request may have disconnected.

    async def _open_ended(self, turn_id: UUID, caller: Caller) -> LiveTurn:
        """An ended turn is served even when no turn is claimed; another replica runs the others."""
        turn = await self._session.get_turn(turn_id, caller)
        if turn.status == "running":
            raise Unavailable(
                "This process claims no further turns. Please retry.", code="inference_busy"
            )
        return _live_turn(turn, caller)

    def _run(
        self,
        live: LiveTurn,
        turn_input: TurnInput,
        window: ContextWindow,
        caller: Caller,
        key: DataKey | None,
    ) -> None:
        model = self._catalogue.get(turn_input.model)
        work: Generation | Failed
        if model is None:
            work = Failed("model_unknown")
        elif turn_input.context.tokens > turn_input.context.budget:
            work = Failed("context_too_long")
        else:
            work = self._generation(live, model, turn_input, window, key)

        def start_post_reply_tasks(ended: Turn) -> None:
            if model is not None:
                self._post_reply_tasks.start(ended, live.owner, turn_input, window, model)

        self._running.run(TurnRun(live, caller, work), start_post_reply_tasks)

    def _generation(
        self,
        live: LiveTurn,
        model: Model,
        turn_input: TurnInput,
        window: ContextWindow,
        key: DataKey | None,
    ) -> Generation:
        prompt = build_prompt(turn_input.instructions, window, turn_input.context.tokens)
        candidates = self._catalogue.candidates(model, prompt.tokens)
        generation = Generation(
            live,
            candidates,
            prompt,
            turn_input.parameters,
            on_fallback=self._catalogue.count_fallback,
        )
        live.header = StreamHeader(model=model.name, prompt_tokens=prompt.tokens, price=model.price)
        if self._buffering is not None and key is not None:
            self._buffering.begin(live, key, model.limits.total_seconds)
        return generation


def _live_turn(turn: Turn, caller: Caller) -> LiveTurn:
    return LiveTurn(turn, caller.principal, ReplyText(MAX_REPLY_BYTES))
