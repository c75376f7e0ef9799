"""Graceful shutdown: running turns may finish in time, then are interrupted and committed."""

import asyncio

from pydantic import Field

from parley_core.runtime.settings import Seconds, SettingsGroup
from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.completions.service import CompletionService
from parley_inference.turns.running_turns import RunningTurns
from parley_inference.turns.turn_opener import TurnOpener


class ShutdownSettings(SettingsGroup):
    """Deadlines of a shutdown; raise the first where replies take longer."""

    seconds: Seconds = Field(
        default=5, description="how long replies may run on after SIGTERM, in seconds"
    )
    commit_seconds: Seconds = Field(
        default=2,
        description="how long the replies interrupted then have to be committed, in seconds",
    )


class Shutdown:
    """Ends everything that runs within the two deadlines of `settings`."""

    def __init__(
        self,
        opener: TurnOpener,
        running: RunningTurns,
        post_reply_tasks: PostReplyTasks,
        completions: CompletionService,
        settings: ShutdownSettings,
    ) -> None:
        self._opener, self._running, self._post_reply_tasks = opener, running, post_reply_tasks
        self._completions, self._settings = completions, settings
        self._begun = False

    def begin(self) -> None:
        """Claim no more turns, and start the deadlines. Idempotent; needs the event loop."""
        if self._begun:
            return
        self._begun = True
        self._opener.accepting = False
        self._completions.accepting = False
        self._running.discard_followed()
        loop = asyncio.get_running_loop()
        seconds = self._settings.seconds
        loop.call_later(seconds, self._interrupt)
        loop.call_later(seconds + self._settings.commit_seconds, self._running.cancel_all)

    async def finish(self) -> None:
        """Wait until nothing runs any more."""
        self.begin()
        await self._running.wait_until_idle()
        await self._post_reply_tasks.wait_until_idle()

    def _interrupt(self) -> None:
        self._post_reply_tasks.stop()
        self._running.interrupt_all()
        self._completions.interrupt_all()
