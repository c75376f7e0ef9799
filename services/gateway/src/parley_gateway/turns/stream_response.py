"""Streams a turn's events to a client."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.types import Receive, Send

from parley_contracts import turn_sse as sse
from parley_core.runtime.backoff import backoff_delay
from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.http.stream_limiter import Stop
from parley_gateway.turns.event_relay import TurnEventRelay

# Event loop iterations until the call to inference is sent; work done before its response arrives
# does not delay the first token.
_LOOPS_UNTIL_CALL_IS_SENT = 2
# An EventSource reconnects after half of it or more, each at another time: a gateway that crashes
# ends all of its streams at once.
MAX_RECONNECT_SECONDS = 3.0
_DATA = b"data: "


class TurnStreamResponse:
    """A stream that ends before `id: end` was cut between events, and the client resumes it."""

    def __init__(self, events: TurnEventRelay) -> None:
        self._events = events
        self._has_retry = False
        self._response = SSEResponse(
            handed_over=events.handed_over,
            handover_timeout_seconds=events.handover_timeout_seconds,
        )

    async def send_events(
        self, receive: Receive, send: Send, stop: Stop, *, resumes: bool = False
    ) -> None:
        """A stream that `resumes` does not begin with `turn.started`."""
        await self._response.send_batches(self._with_retry(resumes), receive, send, stop)

    async def _with_retry(self, resumes: bool) -> AsyncGenerator[bytes, None]:
        """The batches, with a `retry` field in the first event: alone it would be an event without
        data to clients that do not follow the specification.
        """
        async with aclosing(self._batches(resumes)) as batches:
            async for events in batches:
                if not self._has_retry and (first := _first_event(events)) is not None:
                    self._has_retry = True
                    events = events[:first] + _retry_field() + events[first:]
                yield events

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


def _first_event(events: bytes) -> int | None:
    """Where the first event begins, behind comments; None if there are only comments."""
    if events.startswith(_DATA):
        return 0
    blank_line = events.find(b"\n\n" + _DATA)
    return None if blank_line < 0 else blank_line + 2


def _retry_field() -> bytes:
    seconds = backoff_delay(1, MAX_RECONNECT_SECONDS, MAX_RECONNECT_SECONDS)
    return b"retry: %d\n" % (1_000 * seconds)
