"""SSE framing of a turn: whole events from a byte stream, and the id of the last one."""

from parley_contracts.turn_sse import END
from parley_core.streaming.sse import SSEFramer

_ID = b"id: "
_END = END.encode()


class MalformedEventStream(Exception):
    """An event has an invalid id or invalid data."""


class TurnEventFramer:
    """Whole events of a turn; `last_event_id` is the id of the last one, `ended` once it is
    `end`. Event data is not decoded.
    """

    def __init__(self, last_event_id: int, max_event_bytes: int) -> None:
        self.last_event_id = last_event_id
        self.ended = False
        self._framer = SSEFramer(max_event_bytes)

    def feed(self, received: bytes) -> bytes:
        """All events that `received` completes, undecoded.

        Raises SSEEventTooLarge, MalformedEventStream.
        """
        events = self._framer.feed(received)
        self._track(events)
        return events

    def _track(self, events: bytes) -> None:
        # Newlines inside data are escaped, so this is always the beginning of a line.
        start = events.rfind(b"\n" + _ID) + 1
        if not events.startswith(_ID, start):
            return
        event_id = events[start + len(_ID) : events.index(b"\n", start)]
        if event_id == _END:
            self.ended = True
        elif event_id.isdigit():
            self.last_event_id = int(event_id)
        else:
            raise MalformedEventStream
