"""From SIGTERM to the exit: what runs is finished within a limit, or ended with what there is."""

import asyncio

from parley_inference.turns.runner import Runner


class Shutdown:
    """Times are in seconds."""

    def __init__(self, runner: Runner, seconds: float, commit_seconds: float) -> None:
        self._runner, self._seconds, self._commit_seconds = runner, seconds, commit_seconds
        self._begun = False

    def begin(self) -> None:
        """Within the event loop; once is enough."""
        if self._begun:
            return
        self._begun = True
        self._runner.stop_claiming()
        loop = asyncio.get_running_loop()
        loop.call_later(self._seconds, self._runner.interrupt)
        loop.call_later(self._seconds + self._commit_seconds, self._runner.give_up)

    async def finish(self) -> None:
        """Until nothing runs any more."""
        self.begin()
        await self._runner.idle()
