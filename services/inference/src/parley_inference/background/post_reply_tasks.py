"""Background tasks after a reply: suggest a session title, compact a long context.

Nothing waits for them and a failure affects no turn: session requests the task again later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal
from uuid import UUID

from pydantic import Field

from parley_contracts.api_models import Turn
from parley_contracts.session_api.turns import CompactionTask, TurnInput
from parley_core.http.errors import ParleyError
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.runtime.settings import SettingsGroup
from parley_inference.background.one_shot import complete_once
from parley_inference.background.summary import max_summary_bytes, summary_prompt
from parley_inference.background.title import (
    MAX_TITLE_BYTES,
    extract_title,
    first_words,
    title_prompt,
)
from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import Model
from parley_inference.models.provider import Provider
from parley_inference.models.server_circuit import Person
from parley_inference.session.client import SessionClient
from parley_inference.session.context_window_cache import ContextWindow

log = logging.getLogger(__name__)

_Kind = Literal["title", "compaction"]


# Few, because they use the same model servers as the turns.
MAX_TASKS = 16
TITLE_TIMEOUT_SECONDS = 20
COMPACTION_TIMEOUT_SECONDS = 60


class PostReplyTaskSettings(SettingsGroup):
    """Which tasks run; each is one more request to the model."""

    titles: bool = Field(
        default=True, description="true to suggest titles for sessions, else false"
    )
    compaction: bool = Field(
        default=True, description="true to summarise long contexts, else false"
    )


class PostReplyTasks:
    """At most one task of a kind per session runs at a time; beyond the limit tasks are skipped."""

    def __init__(
        self, session: SessionClient, provider: Provider, settings: PostReplyTaskSettings
    ) -> None:
        self._session, self._provider, self._settings = session, provider, settings
        self._tasks: dict[tuple[_Kind, UUID], asyncio.Task[None]] = {}
        self._stopped = False

    def start(
        self,
        turn: Turn,
        owner: Person,
        turn_input: TurnInput,
        window: ContextWindow,
        model: Model,
    ) -> None:
        """Start the tasks that session requested with this turn, which has ended."""
        if turn.status != "completed" or turn.reply is None:
            return
        if turn_input.suggest_title and self._settings.titles:
            self._start("title", turn.session_id, lambda: self._suggest_title(turn, owner, model))
        if turn_input.compact is not None and self._settings.compaction:
            compaction = turn_input.compact
            self._start(
                "compaction",
                turn.session_id,
                lambda: self._compact(turn.session_id, owner, compaction, window, model),
            )

    def cancel_for(self, session_ids: Iterable[UUID]) -> None:
        """Cancel the tasks of these sessions."""
        cancelled = frozenset(session_ids)
        for (_, session_id), task in self._tasks.items():
            if session_id in cancelled:
                task.cancel()

    def stop(self) -> None:
        """Cancel all tasks and start no more."""
        self._stopped = True
        for task in self._tasks.values():
            task.cancel()

    async def wait_until_idle(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _start(self, kind: _Kind, session_id: UUID, work: Callable[[], Awaitable[None]]) -> None:
        key = (kind, session_id)
        full = len(self._tasks) >= MAX_TASKS
        if self._stopped or full or key in self._tasks:
            return
        task = self._tasks[key] = asyncio.create_task(_log_errors(kind, session_id, work))
        task.add_done_callback(lambda _: self._tasks.pop(key))

    async def _suggest_title(self, turn: Turn, owner: Person, model: Model) -> None:
        assert turn.reply is not None
        result = await complete_once(
            self._provider,
            model,
            title_prompt(turn.message.content, turn.reply.content),
            owner,
            timeout_seconds=TITLE_TIMEOUT_SECONDS,
            max_bytes=MAX_TITLE_BYTES,
        )
        title = extract_title(result.text) or first_words(turn.message.content)
        if title:
            await self._session.suggest_title(turn.session_id, title, model.name, result)

    async def _compact(
        self,
        session_id: UUID,
        owner: Person,
        task: CompactionTask,
        window: ContextWindow,
        model: Model,
    ) -> None:
        result = await complete_once(
            self._provider,
            model,
            summary_prompt(task, window),
            owner,
            timeout_seconds=COMPACTION_TIMEOUT_SECONDS,
            max_bytes=max_summary_bytes(window.budget),
        )
        if summary := result.text.strip():
            up_to = task.up_to_message_id
            await self._session.compact(session_id, up_to, summary, model.name, result)


async def _log_errors(kind: _Kind, session_id: UUID, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except UpstreamError as error:
        log.warning("%s of session %s failed: %s", kind, session_id, error.reason)
    except ParleyError as error:
        log.warning("%s of session %s failed: %s", kind, session_id, error.code)
    except TimeoutError:
        log.warning("%s of session %s timed out", kind, session_id)
    except Exception as error:
        log_unexpected_error(log, f"{kind} of session {session_id}", error)
