"""Server-sent event responses with heartbeats; every write holds whole events."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.types import Receive, Send

from parley_contracts import turn_sse as sse
from parley_core.http.errors import ParleyError
from parley_core.http.request_lifetime import RequestLifetime
from parley_gateway.http.stream_limiter import Stop, shutting_down

HEARTBEAT_SECONDS: float = sse.HEARTBEAT_SECONDS


class SSEResponse:
    """Starts with the first batch, even an empty one: until then the generator may raise an error,
    which becomes the response. May end after any write.

    A client that reads nothing for two heartbeats is disconnected.
    """

    def __init__(self, *, handed_over: asyncio.Event, handover_timeout_seconds: float) -> None:
        self._handed_over = handed_over
        self._handover_timeout_seconds = handover_timeout_seconds
        self._has_started = self._has_written = False

    async def send_batches(
        self,
        batches: AsyncGenerator[bytes, None],
        receive: Receive,
        send: Send,
        stop: Stop,
        *,
        headers: Mapping[str, str] | None = None,
        last_event_when_stopping: Callable[[ParleyError | None], bytes] = lambda _: b"",
    ) -> None:
        start = response_start(sse.HEADERS | dict(headers or {}))
        relay = asyncio.create_task(self._relay(batches, send, start))
        reason = await RequestLifetime(receive, stop, self._handed_over).supervise(
            relay,
            heartbeat=self._heartbeat(send),
            handover_timeout=self._handover_timeout_seconds,
        )
        last = b""
        if reason == "done":
            relay.result()
        elif reason == "stopping":
            error = stop.result()
            if not self._has_started:
                raise error or shutting_down()
            last = last_event_when_stopping(error)
        if reason in ("done", "stopping"):
            await send({"type": "http.response.body", "body": last})
        # A slow client would not receive a last write either: the server closes the connection.

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

    async def _heartbeat(self, send: Send) -> None:
        """Returns when the client no longer reads."""
        interval = HEARTBEAT_SECONDS
        try:
            while True:
                self._has_written = False
                await asyncio.sleep(interval)
                if self._has_started and not self._has_written:
                    async with asyncio.timeout(interval):
                        await self._write(send, sse.HEARTBEAT)
        except TimeoutError:
            return

    async def _write(self, send: Send, events: bytes) -> None:
        await send({"type": "http.response.body", "body": events, "more_body": True})
        self._has_written = True


def response_start(headers: Mapping[str, str]) -> dict[str, object]:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": encoded}
