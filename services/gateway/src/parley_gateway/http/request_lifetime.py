"""Work for a client goes on while somebody waits for it, and until its turn is in good hands."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from starlette.types import Receive

Result = TypeVar("Result")
Ending = Literal["done", "left", "stuck", "stopping", "late"]


class RequestLifetime:
    """Watches one request beside the work that it asked for.

    `stop` is done when this process stops; `handed_over` is set once the work may be given up:
    before that, nobody would run the client's turn.
    """

    def __init__(
        self, receive: Receive, stop: asyncio.Future[None], handed_over: asyncio.Event
    ) -> None:
        self._receive, self._stop, self._handed_over = receive, stop, handed_over

    async def during(
        self,
        work: asyncio.Task[Any],
        *,
        beat: Coroutine[Any, Any, None] | None = None,
        within: float | None = None,
        hand_over_within: float,
    ) -> Ending:
        """Why it is over; the work has ended then, or was cancelled.

        `beat` returns when the client takes nothing any more.
        """
        watches: dict[asyncio.Future[None], Ending] = {
            asyncio.create_task(_left(self._receive)): "left",
            self._stop: "stopping",
        }
        if beat is not None:
            watches[asyncio.create_task(beat)] = "stuck"
        try:
            await asyncio.wait({work, *watches}, timeout=within, return_when=_FIRST)
            if work.done():
                return "done"
            ending: list[Ending] = [why for watch, why in watches.items() if watch.done()]
            await self._until_handed_over(work, hand_over_within)
            if work.done():
                return "done"  # Meanwhile.
            return ending[0] if ending else "late"
        finally:
            await _cancel(work, *(watch for watch in watches if watch is not self._stop))

    async def _until_handed_over(self, work: asyncio.Task[Any], seconds: float) -> None:
        handed_over = asyncio.create_task(self._handed_over.wait())
        await asyncio.wait({work, handed_over}, timeout=seconds, return_when=_FIRST)
        handed_over.cancel()


def no_handover() -> asyncio.Event:
    """For work that nobody needs once its client has left."""
    handed_over = asyncio.Event()
    handed_over.set()
    return handed_over


_FIRST = asyncio.FIRST_COMPLETED


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
