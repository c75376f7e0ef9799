"""The answer that carries a turn's events to a client as they come."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.types import Receive, Send

from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.turns.event_relay import TurnEventRelay

# Of the event loop: then the call to inference is on its way, and whatever is done before its
# answer costs the first token nothing.
_LOOPS_UNTIL_ASKED = 2


class TurnStreamResponse:
    """One that ends before `id: end` was cut between events; a client then resumes."""

    def __init__(
        self, events: TurnEventRelay, heartbeat_seconds: float, hand_over_seconds: float
    ) -> None:
        self._events = events
        self._answer = SSEResponse(heartbeat_seconds, hand_over_seconds, events.handed_over)

    async def answer(
        self, receive: Receive, send: Send, stop: asyncio.Future[None], *, resumes: bool = False
    ) -> None:
        """A stream that `resumes` does not begin with `turn.started`."""
        await self._answer.answer(self._batches(resumes), receive, send, stop)

    async def _batches(self, resumes: bool) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._events.read()) as batches:
            first = asyncio.ensure_future(anext(batches, b""))
            try:
                for _ in range(_LOOPS_UNTIL_ASKED):
                    await asyncio.sleep(0)
                # At once: the message is committed, whatever inference does.
                yield b"" if resumes else self._events.started()
                yield await first
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
            async for events in batches:
                yield events
