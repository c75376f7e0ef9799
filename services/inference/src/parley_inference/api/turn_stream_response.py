"""The answer that carries a turn's events: one write for all that came since the last one."""

import asyncio

from starlette.types import Receive, Scope, Send

from parley_contracts import turn_sse as sse
from parley_inference.streaming.live_turn import LiveTurn, Reader

_HEADERS = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]


class TurnStreamResponse:
    """Ends with the turn, when its client leaves, or when that takes no byte for two heartbeats.

    It is in `open_streams` while it runs.
    """

    def __init__(
        self,
        live: LiveTurn,
        after: int,
        open_streams: set["TurnStreamResponse"],
        heartbeat_seconds: float,
    ) -> None:
        self._live, self._after, self._open_streams = live, after, open_streams
        self._heartbeat_seconds = heartbeat_seconds
        self._heartbeat_due = self._client_left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        reader = self._live.attach(self._after)
        self._open_streams.add(self)
        try:
            async with asyncio.timeout(None) as patience:
                attendance = asyncio.create_task(self._attend(reader, receive, patience))
                try:
                    await self._relay(reader, send)
                finally:
                    attendance.cancel()
        except TimeoutError:
            pass  # Without an end to the answer, the server closes the connection.
        finally:
            self._live.detach(reader)
            self._open_streams.discard(self)

    async def _relay(self, reader: Reader, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        while not self._client_left:
            events = reader.read()
            if self._heartbeat_due:
                events, self._heartbeat_due = events or sse.HEARTBEAT, False
            if events or reader.over:
                more = not reader.over
                await send({"type": "http.response.body", "body": events, "more_body": more})
            if reader.over:
                return
            await reader.news()

    async def _attend(self, reader: Reader, receive: Receive, patience: asyncio.Timeout) -> None:
        """Heartbeats and the client's leaving, beside the relay: so a delta costs no timer."""
        leaving = asyncio.create_task(_left(receive))
        try:
            while not self._client_left:
                await asyncio.wait({leaving}, timeout=self._heartbeat_seconds)
                if self._heartbeat_due:  # The last one is still not written.
                    patience.reschedule(asyncio.get_running_loop().time())
                    return
                self._heartbeat_due, self._client_left = True, leaving.done()
                reader.wake()
        finally:
            leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
