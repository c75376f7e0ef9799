"""What follows a reply in the background: a title suggested, a context compacted.

Nobody waits for it, and no turn is worse off when it fails: session asks for it again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_core.http.errors import ParleyError
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_inference.background.one_shot import ask
from parley_inference.background.summary import CompactionRequest, summary_bytes, summary_prompt
from parley_inference.background.title import TITLE_BYTES, title_of, title_prompt
from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import Model
from parley_inference.session.client import SessionClient, TurnInput
from parley_inference.session.context_window_cache import CachedWindow
from parley_inference.turns.generation import Provider

log = logging.getLogger(__name__)

_Kind = Literal["title", "compaction"]


@dataclass(frozen=True, slots=True)
class PostReplyTaskSettings:
    """Seconds and counts; see the settings of the same names."""

    titles: bool
    compaction: bool
    at_once: int
    title_seconds: float
    compaction_seconds: float


class PostReplyTasks:
    def __init__(
        self, session: SessionClient, provider: Provider, limits: PostReplyTaskSettings
    ) -> None:
        self._session, self._provider, self._limits = session, provider, limits
        self._tasks: dict[tuple[_Kind, UUID], asyncio.Task[None]] = {}
        self._given_up = False

    def reply_made(self, turn: Turn, run: TurnInput, window: CachedWindow, model: Model) -> None:
        """Begin what session asked for with the turn, which has ended by now."""
        if turn.status != "completed" or turn.reply is None:
            return
        if run.suggest_title and self._limits.titles:
            self._begin("title", turn.session_id, lambda: self._suggest_title(turn, model))
        if run.compact is not None and self._limits.compaction:
            compact = run.compact
            self._begin(
                "compaction",
                turn.session_id,
                lambda: self._compact(turn.session_id, compact, window, model),
            )

    def drop(self, session_ids: Iterable[UUID]) -> None:
        """Break off what is for these sessions."""
        dropped = frozenset(session_ids)
        for (_, session_id), task in self._tasks.items():
            if session_id in dropped:
                task.cancel()

    def give_up(self) -> None:
        """Break off everything, and begin nothing any more."""
        self._given_up = True
        for task in self._tasks.values():
            task.cancel()

    async def idle(self) -> None:
        """Until nothing runs."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _begin(self, kind: _Kind, session_id: UUID, work: Callable[[], Awaitable[None]]) -> None:
        key = (kind, session_id)
        if self._given_up or key in self._tasks or len(self._tasks) >= self._limits.at_once:
            return
        task = self._tasks[key] = asyncio.create_task(_quietly(kind, session_id, work))
        task.add_done_callback(lambda _: self._tasks.pop(key))

    async def _suggest_title(self, turn: Turn, model: Model) -> None:
        assert turn.reply is not None
        answered = await ask(
            self._provider,
            model,
            title_prompt(turn.message.content, turn.reply.content),
            seconds=self._limits.title_seconds,
            most_bytes=TITLE_BYTES,
        )
        if title := title_of(answered.text):
            await self._session.suggest_title(turn.session_id, title, model.name, answered)

    async def _compact(
        self, session_id: UUID, compact: CompactionRequest, window: CachedWindow, model: Model
    ) -> None:
        answered = await ask(
            self._provider,
            model,
            summary_prompt(compact, window),
            seconds=self._limits.compaction_seconds,
            most_bytes=summary_bytes(window.budget),
        )
        if summary := answered.text.strip():
            up_to = compact.up_to_message_id
            await self._session.compact(session_id, up_to, summary, model.name, answered)


async def _quietly(kind: _Kind, session_id: UUID, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except (UpstreamError, ParleyError) as error:
        log.warning("%s of session %s: %s", kind, session_id, error.code)
    except TimeoutError:
        log.warning("%s of session %s: not in time", kind, session_id)
    except Exception as error:
        log_unexpected_error(log, f"{kind} of session {session_id}", error)
