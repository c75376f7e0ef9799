"""Whole server-sent events from bytes that are split anywhere; their data is not looked at."""

from parley_core.sse import END

_BLANK_LINE = b"\n\n"
_ID = b"id: "
_END = END.encode()


class EventsUnusable(Exception):
    """What came is no stream of a turn's events, or an event exceeds what may be held."""


class EventCutter:
    """Holds at most the beginning of one event. `place` is the id of the last whole one."""

    def __init__(self, place: int, most_event_bytes: int) -> None:
        self.place = place
        self.ended = False
        self._most_event_bytes = most_event_bytes
        self._begun = b""

    def feed(self, received: bytes) -> bytes:
        """All events that `received` completes, as they came. Raises EventsUnusable."""
        if self._begun:
            received = self._begun + received
        cut = received.rfind(_BLANK_LINE)
        if cut < 0:
            events, self._begun = b"", received
        else:
            cut += len(_BLANK_LINE)
            events, self._begun = received[:cut], received[cut:]
        if len(self._begun) > self._most_event_bytes:
            raise EventsUnusable
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
            raise EventsUnusable
