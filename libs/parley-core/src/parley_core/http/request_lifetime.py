"""Supervises the work of one request: client disconnect, stalled client, deadline, shutdown."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

from starlette.types import Receive

EndReason = Literal["done", "disconnected", "slow_client", "stopping", "timed_out"]


class RequestLifetime:
    """Runs work while its client is connected, and ends it safely when the client is not.

    `stop` is done when the request must end, as when the process is stopping. `handed_over` is set
    once the work may be cancelled: cancelled earlier, a turn that was committed would have nobody
    to run it.
    """

    def __init__(
        self, receive: Receive, stop: asyncio.Future[Any], handed_over: asyncio.Event
    ) -> None:
        self._receive, self._stop, self._handed_over = receive, stop, handed_over

    async def supervise(
        self,
        work: asyncio.Task[Any],
        *,
        heartbeat: Coroutine[Any, Any, None] | None = None,
        timeout: float | None = None,
        handover_timeout: float,
    ) -> EndReason:
        """Return why the request ended; by then the work is done or cancelled.

        `heartbeat` returns when the client no longer reads. Times are in seconds.
        """
        watchers: dict[asyncio.Future[Any], EndReason] = {
            asyncio.create_task(_disconnected(self._receive)): "disconnected",
            self._stop: "stopping",
        }
        if heartbeat is not None:
            watchers[asyncio.create_task(heartbeat)] = "slow_client"
        try:
            await asyncio.wait({work, *watchers}, timeout=timeout, return_when=_FIRST)
            if work.done():
                return "done"
            reasons: list[EndReason] = [why for watch, why in watchers.items() if watch.done()]
            await self._until_handed_over(work, handover_timeout)
            if work.done():
                return "done"
            return reasons[0] if reasons else "timed_out"
        finally:
            await _cancel(work, *(watch for watch in watchers if watch is not self._stop))

    async def _until_handed_over(self, work: asyncio.Task[Any], timeout: float) -> None:
        handed_over = asyncio.create_task(self._handed_over.wait())
        await asyncio.wait({work, handed_over}, timeout=timeout, return_when=_FIRST)
        handed_over.cancel()


def no_handover() -> asyncio.Event:
    """Return a set event, for work that is useless once its client has disconnected."""
    handed_over = asyncio.Event()
    handed_over.set()
    return handed_over


_FIRST = asyncio.FIRST_COMPLETED


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
