"""SSE response of a turn: one write carries all events since the previous write."""

import asyncio

from starlette.types import Receive, Scope, Send

from parley_contracts import turn_sse as sse
from parley_core.http.request_lifetime import RequestLifetime, no_handover
from parley_inference.streaming.live_turn import LiveTurn, TurnSubscriber

HEARTBEAT_SECONDS = sse.HEARTBEAT_SECONDS

_HEADERS = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]


class TurnStreamResponse:
    """Ends with the turn, on disconnect, or when the client reads nothing for two heartbeats.

    Member of `open_streams` while it runs.
    """

    def __init__(self, live: LiveTurn, after: int, open_streams: set["TurnStreamResponse"]) -> None:
        self._live, self._after, self._open_streams = live, after, open_streams
        self._heartbeat_due = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        subscriber = self._live.subscribe(self._after)
        self._open_streams.add(self)
        try:
            relay = asyncio.create_task(self._relay(subscriber, send))
            # Streams outlive the begin of a shutdown: they end with their turns.
            never = asyncio.get_running_loop().create_future()
            ended = await RequestLifetime(receive, never, no_handover()).supervise(
                relay, heartbeat=self._send_heartbeats(subscriber), handover_timeout=0
            )
            if ended == "done":
                relay.result()
            # Otherwise the response stays incomplete, and the server closes the connection.
        finally:
            self._live.unsubscribe(subscriber)
            self._open_streams.discard(self)

    async def _relay(self, subscriber: TurnSubscriber, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        while True:
            events = subscriber.read()
            if self._heartbeat_due:
                events, self._heartbeat_due = events or sse.HEARTBEAT, False
            if events or subscriber.finished:
                more = not subscriber.finished
                await send({"type": "http.response.body", "body": events, "more_body": more})
            if subscriber.finished:
                return
            await subscriber.wait()

    async def _send_heartbeats(self, subscriber: TurnSubscriber) -> None:
        """Runs beside the relay, so that a delta needs no timer; returns for a stalled client."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self._heartbeat_due:  # The previous one is still unsent.
                return
            self._heartbeat_due = True
            subscriber.wake()
