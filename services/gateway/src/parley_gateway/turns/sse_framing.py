"""Server-sent events made whole from bytes that are split anywhere."""

_BLANK_LINE = b"\n\n"


class MalformedEventStream(Exception):
    """What came is no stream of events, or an event exceeds what may be held."""


class SSEFrameBuffer:
    """Holds at most the beginning of one event."""

    def __init__(self, most_event_bytes: int) -> None:
        self._most_event_bytes = most_event_bytes
        self._begun = b""

    def feed(self, received: bytes) -> bytes:
        """All events that `received` completes, as they came. Raises MalformedEventStream."""
        if self._begun:
            received = self._begun + received
        cut = received.rfind(_BLANK_LINE)
        if cut < 0:
            events, self._begun = b"", received
        else:
            cut += len(_BLANK_LINE)
            events, self._begun = received[:cut], received[cut:]
        if len(self._begun) > self._most_event_bytes:
            raise MalformedEventStream
        return events
