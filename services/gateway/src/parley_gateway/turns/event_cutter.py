"""A turn's events made whole, and how far they reach; their data is not looked at."""

from parley_contracts.turn_sse import END
from parley_gateway.turns.sse_framing import MalformedEventStream, SSEFrameBuffer

_ID = b"id: "
_END = END.encode()


class TurnEventFramer:
    """`place` is the id of the last whole event."""

    def __init__(self, place: int, most_event_bytes: int) -> None:
        self.place = place
        self.ended = False
        self._whole = SSEFrameBuffer(most_event_bytes)

    def feed(self, received: bytes) -> bytes:
        """All events that `received` completes, as they came. Raises MalformedEventStream."""
        events = self._whole.feed(received)
        self._note_place(events)
        return events

    def _note_place(self, events: bytes) -> None:
        # In data a newline is escaped, so that this is the beginning of a line.
        start = events.rfind(b"\n" + _ID) + 1
        if not events.startswith(_ID, start):
            return
        written = events[start + len(_ID) : events.index(b"\n", start)]
        if written == _END:
            self.ended = True
        elif written.isdigit():
            self.place = int(written)
        else:
            raise MalformedEventStream
