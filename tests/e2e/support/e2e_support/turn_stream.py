"""The server-sent events of a turn, as a client of the public API reads them."""

from functools import partial

import httpx2

from parley_testing.event_stream import Event, EventStream


class TurnStream(EventStream):
    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(response, partial(anext, response.aiter_bytes(), b""))

    async def started(self) -> Event:
        """The first event, `turn.started`: the message is committed."""
        event = await self.event()
        assert event is not None, "the stream ended before its first event"
        assert event["type"] == "turn.started", event
        return event
