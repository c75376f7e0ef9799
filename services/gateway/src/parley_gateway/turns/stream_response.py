"""Streams a turn's events to a client."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.types import Receive, Send

from parley_contracts import turn_sse as sse
from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.turns.event_relay import TurnEventRelay

# Event loop iterations until the call to inference is sent; work done before its response arrives
# does not delay the first token.
_LOOPS_UNTIL_CALL_IS_SENT = 2


# An EventSource waits for seconds by default; another gateway is ready now.
_RECONNECT_MILLISECONDS = (100, 1_000)


class TurnStreamResponse:
    """A stream that ends before `id: end` was cut between events, and the client resumes it."""

    def __init__(self, events: TurnEventRelay) -> None:
        self._events = events
        self._response = SSEResponse(
            handed_over=events.handed_over,
            handover_timeout_seconds=events.handover_timeout_seconds,
        )

    async def send_events(
        self, receive: Receive, send: Send, stop: asyncio.Future[None], *, resumes: bool = False
    ) -> None:
        """A stream that `resumes` does not begin with `turn.started`."""
        await self._response.send_batches(
            self._batches(resumes), receive, send, stop, last_event_when_stopping=_reconnect_soon
        )

    async def _batches(self, resumes: bool) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._events.read()) as batches:
            first = asyncio.ensure_future(anext(batches, b""))
            try:
                for _ in range(_LOOPS_UNTIL_CALL_IS_SENT):
                    await asyncio.sleep(0)
                # Sent at once: the message is committed, whatever happens at inference.
                yield b"" if resumes else self._events.started()
                yield await first
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
            async for events in batches:
                yield events
        if self._events.session_erased:
            yield sse.erased(self._events.turn)


def _reconnect_soon() -> bytes:
    """The field after which an EventSource reconnects; other clients ignore it."""
    return b"retry: %d\n\n" % random.randint(*_RECONNECT_MILLISECONDS)  # noqa: S311
