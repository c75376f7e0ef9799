"""A turn's server-sent events, as a client of the public API reads them."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2

ENDS = ("reply.completed", "reply.failed", "reply.cancelled")

TurnEvent = dict[str, Any]
"""The data of an event, and its `id`."""


class TurnStream:
    """One answer, read event by event; comments are left out."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._events = _events(response.aiter_bytes())

    def __aiter__(self) -> AsyncIterator[TurnEvent]:
        return self._events

    async def started(self) -> TurnEvent:
        """The first event, which says that the message is committed."""
        event = await anext(self._events)
        assert event["type"] == "turn.started", event
        return event

    async def until_text(self, length: int) -> str:
        """The reply's beginning, of at least that many code points."""
        text = ""
        while len(text) < length:
            text += (await anext(self._events)).get("delta", "")
        return text

    async def rest(self) -> list[TurnEvent]:
        return [event async for event in self._events]


def text_of(events: Sequence[TurnEvent]) -> str:
    return "".join(event.get("delta", "") for event in events)


async def _events(received: AsyncIterator[bytes]) -> AsyncIterator[TurnEvent]:
    unread = b""
    async for data in received:
        *blocks, unread = (unread + data).split(b"\n\n")
        for block in blocks:
            if not block.startswith(b":"):
                yield _parsed(block)


def _parsed(block: bytes) -> TurnEvent:
    id_line, data_line = block.decode().split("\n")
    assert id_line.startswith("id: "), block
    assert data_line.startswith("data: "), block
    return {"id": id_line.removeprefix("id: "), **json.loads(data_line.removeprefix("data: "))}
