"""A turn's server-sent events, as a client reads them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

Event = dict[str, Any]
"""The data of an event, and its `id`."""


class EventStream:
    """One answer, read event by event as they come; comments are left out.

    `read` gives what has come since it was last asked, and nothing at the end. `raw` is all that
    was read. `response` is the client's own.
    """

    def __init__(self, response: Any, read: Callable[[], Awaitable[bytes]]) -> None:
        self.response = response
        self.raw = b""
        self._read = read
        self._unread = b""

    async def event(self) -> Event | None:
        """The next one; None at the end."""
        while True:
            block, found, rest = self._unread.partition(b"\n\n")
            if found:
                self._unread = rest
                if not block.startswith(b":"):
                    return _parsed(block)
            elif received := await self._read():
                self.raw += received
                self._unread += received
            else:
                assert not self._unread, "the answer ended inside an event"
                return None

    async def __aiter__(self) -> AsyncIterator[Event]:
        while event := await self.event():
            yield event

    async def events(self) -> list[Event]:
        """All that are left."""
        return [event async for event in self]

    async def until_text(self, length: int) -> str:
        """The reply's next part, of at least that many code points."""
        text = ""
        while len(text) < length:
            event = await self.event()
            assert event is not None, "the answer ended before its text"
            text += event.get("delta", "")
        return text


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.get("delta", "") for event in events)


def _parsed(block: bytes) -> Event:
    id_line, data_line = block.decode().split("\n")
    assert id_line.startswith("id: "), block
    assert data_line.startswith("data: "), block
    return {"id": id_line.removeprefix("id: "), **json.loads(data_line.removeprefix("data: "))}
