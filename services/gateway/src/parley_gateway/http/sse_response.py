"""An answer of server-sent events: whole ones in every write, and heartbeats while none come."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.types import Receive, Send

from parley_contracts import turn_sse as sse
from parley_core.http.errors import Unavailable
from parley_gateway.http.request_lifetime import RequestLifetime


class SSEResponse:
    """Can end after any write. It starts with the first batch, be that empty: until then what
    makes the batches may raise the error that is answered instead.

    A client that takes nothing holds up its own stream, and is let go after two heartbeats.
    """

    def __init__(
        self, heartbeat_seconds: float, hand_over_seconds: float, handed_over: asyncio.Event
    ) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._hand_over_seconds, self._handed_over = hand_over_seconds, handed_over
        self._has_started = self._has_written = False

    async def answer(
        self,
        batches: AsyncGenerator[bytes, None],
        receive: Receive,
        send: Send,
        stop: asyncio.Future[None],
        *,
        headers: Mapping[str, str] | None = None,
        when_stopping: Callable[[], bytes] = bytes,
    ) -> None:
        """`when_stopping` is what a client is told last when this process stops."""
        start = start_of_answer(sse.HEADERS | dict(headers or {}))
        relay = asyncio.create_task(self._relay(batches, send, start))
        ending = await RequestLifetime(receive, stop, self._handed_over).during(
            relay, beat=self._beat(send), hand_over_within=self._hand_over_seconds
        )
        last = b""
        if ending == "done":
            relay.result()
        elif ending == "stopping":
            if not self._has_started:
                raise Unavailable("This process stops; try again.", code="gateway_busy")
            last = when_stopping()
        if ending in ("done", "stopping"):
            await send({"type": "http.response.body", "body": last})
        # To a client that takes nothing there is no use in writing: the server closes.

    async def _relay(
        self, batches: AsyncGenerator[bytes, None], send: Send, start: dict[str, object]
    ) -> None:
        async with aclosing(batches):
            async for events in batches:
                if not self._has_started:
                    self._has_started = True
                    await send(start)
                if events:
                    await self._write(send, events)

    async def _beat(self, send: Send) -> None:
        try:
            while True:
                self._has_written = False
                await asyncio.sleep(self._heartbeat_seconds)
                if self._has_started and not self._has_written:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        await self._write(send, sse.HEARTBEAT)
        except TimeoutError:
            return

    async def _write(self, send: Send, events: bytes) -> None:
        await send({"type": "http.response.body", "body": events, "more_body": True})
        self._has_written = True


def start_of_answer(headers: Mapping[str, str]) -> dict[str, object]:
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": listed}
