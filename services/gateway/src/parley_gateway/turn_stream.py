"""The answer that carries a turn's events to a client as they come."""

import asyncio
from contextlib import aclosing

from starlette.types import Receive, Send

from parley_core import sse
from parley_gateway.attendance import Attendance
from parley_gateway.turn_events import TurnEvents

_HEADERS = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]


class TurnStream:
    """Every write is of whole events, so that it can end after any; a client then resumes.

    A client that takes nothing holds up its own stream, and is let go after two heartbeats.
    """

    def __init__(
        self, events: TurnEvents, heartbeat_seconds: float, hand_over_seconds: float
    ) -> None:
        self._events = events
        self._heartbeat_seconds = heartbeat_seconds
        self._hand_over_seconds = hand_over_seconds
        self._has_written = False

    async def answer(
        self, receive: Receive, send: Send, stop: asyncio.Future[None], *, resumes: bool = False
    ) -> None:
        """A stream that `resumes` does not begin with `turn.started`."""
        # At once: the message is committed, whatever inference does.
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        relay = asyncio.create_task(self._relay(send, resumes))
        ending = await Attendance(receive, stop, self._events.handed_over).during(
            relay, beat=self._beat(send), hand_over_within=self._hand_over_seconds
        )
        if ending == "done":
            relay.result()
        if ending in ("done", "stopping"):
            await send({"type": "http.response.body", "body": b""})
        # To a client that takes nothing there is no use in writing: the server closes.

    async def _relay(self, send: Send, resumes: bool) -> None:
        if not resumes:
            await self._write(send, sse.started(self._events.turn))
        async with aclosing(self._events.read()) as batches:
            async for events in batches:
                await self._write(send, events)

    async def _beat(self, send: Send) -> None:
        try:
            while True:
                self._has_written = False
                await asyncio.sleep(self._heartbeat_seconds)
                if not self._has_written:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        await self._write(send, sse.HEARTBEAT)
        except TimeoutError:
            return

    async def _write(self, send: Send, events: bytes) -> None:
        await send({"type": "http.response.body", "body": events, "more_body": True})
        self._has_written = True
