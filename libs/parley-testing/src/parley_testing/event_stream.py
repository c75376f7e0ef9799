"""Parses the server-sent events of a turn, as a client of the public API does."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

Event = dict[str, Any]
"""The data of an event, with its `id`."""


class EventStream:
    """One streamed response, read event by event; comments are skipped.

    `read` returns the next bytes, and none at the end. `raw` contains all bytes read so far.
    `response` is the HTTP client's response object.
    """

    def __init__(self, response: Any, read: Callable[[], Awaitable[bytes]]) -> None:
        self.response = response
        self.raw = b""
        self._read = read
        self._unread = b""

    async def event(self) -> Event | None:
        """The next event; None at the end."""
        while True:
            block, found, rest = self._unread.partition(b"\n\n")
            if found:
                self._unread = rest
                # A comment alone is no event.
                if b"data: " in block:
                    return _parsed(block)
            elif received := await self._read():
                self.raw += received
                self._unread += received
            else:
                assert not self._unread, "the stream ended inside an event"
                return None

    async def __aiter__(self) -> AsyncIterator[Event]:
        while event := await self.event():
            yield event

    async def events(self) -> list[Event]:
        """All remaining events."""
        return [event async for event in self]

    async def until_text(self, length: int) -> str:
        """Read deltas until they have at least `length` code points; return their text."""
        text = ""
        while len(text) < length:
            event = await self.event()
            assert event is not None, "the stream ended before its text"
            text += event.get("delta", "")
        return text


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.get("delta", "") for event in events)


def _parsed(block: bytes) -> Event:
    *retry_line, data_line, id_line = block.decode().split("\n")
    assert all(line.startswith("retry: ") for line in retry_line), block
    assert data_line.startswith("data: "), block
    assert id_line.startswith("id: "), block
    return {"id": id_line.removeprefix("id: "), **json.loads(data_line.removeprefix("data: "))}
