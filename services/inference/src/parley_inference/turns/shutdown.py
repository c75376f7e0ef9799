"""Graceful shutdown: running turns may finish in time, then are interrupted and committed."""

import asyncio
import logging

from pydantic import Field

from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.settings import Seconds, SettingsGroup
from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.completions.service import CompletionService
from parley_inference.turns.running_turns import RunningTurns
from parley_inference.turns.turn_opener import TurnOpener

log = logging.getLogger(__name__)

# What a second SIGTERM leaves to replies that run.
HURRIED_SECONDS = 5.0
REPORT_INTERVAL_SECONDS = 10.0


class ShutdownSettings(SettingsGroup):
    """Deadlines of a shutdown, which ends as soon as nothing runs."""

    seconds: Seconds = Field(
        default=610,
        description="how long replies may run on after SIGTERM, in seconds; by default as long as "
        "a reply may take",
    )
    commit_seconds: Seconds = Field(
        default=10,
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
        self._interrupt_after(self._settings.seconds)

    def hurry(self) -> None:
        """Interrupt what still runs after HURRIED_SECONDS."""
        self._interrupt_after(HURRIED_SECONDS)

    async def finish(self) -> None:
        """Wait until nothing runs any more."""
        self.begin()
        async with background_tasks(self._report()):
            await self._running.wait_until_idle()
            await self._post_reply_tasks.wait_until_idle()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL_SECONDS)
            log.info("draining: %d turns are running", len(self._running.owned))

    def _interrupt_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self._interrupt)
        loop.call_later(seconds + self._settings.commit_seconds, self._running.cancel_all)

    def _interrupt(self) -> None:
        self._post_reply_tasks.stop()
        self._running.interrupt_all()
        self._completions.interrupt_all()
