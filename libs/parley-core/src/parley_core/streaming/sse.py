"""Incremental parsing of server-sent events from bytes that are split anywhere.

`SSEFramer` only cuts a stream into whole events, for relaying bytes; `SSEParser` decodes them.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator

_BLANK_LINE = b"\n\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SSEEventTooLarge(Exception):
    """A line or an event exceeds the limit of the parser."""


class SSEFramer:
    """Cuts a stream of Parley's own form (lines end with a newline) after its last whole event."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._incomplete = b""

    def feed(self, received: bytes) -> bytes:
        """Return the bytes of all events that `received` completes. Raises SSEEventTooLarge."""
        if self._incomplete:
            received = self._incomplete + received
        end = received.rfind(_BLANK_LINE)
        if end < 0:
            events, self._incomplete = b"", received
        else:
            end += len(_BLANK_LINE)
            events, self._incomplete = received[:end], received[end:]
        if len(self._incomplete) > self._max_event_bytes:
            raise SSEEventTooLarge
        return events


class SSEParser:
    """Parses one stream; buffers at most one line and one event of it.

    Comments, ids, types and events without data are skipped. Lines may end with CR, LF or CRLF.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._carriage_return = b""
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield the data of each completed event. Raises SSEEventTooLarge after them."""
        for line in self._lines(received):
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._data_bytes += len(line)
                self._check_size(self._data_bytes)
            elif not line and self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data, self._data_bytes = [], 0
                yield data
        self._check_size(len(self._line))

    def _lines(self, received: bytes) -> list[bytes]:
        if b"\r" in received or self._carriage_return:
            received = self._with_newlines_only(received)
        if b"\n" not in received:
            self._line += received
            return []
        lines = received.split(b"\n")
        if self._line:
            lines[0] = bytes(self._line) + lines[0]
        self._line = bytearray(lines.pop())
        lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return lines

    def _with_newlines_only(self, received: bytes) -> bytes:
        received = self._carriage_return + received
        # The next byte may be its newline; CR and LF together end one line.
        self._carriage_return = b"\r" if received.endswith(b"\r") else b""
        received = received.removesuffix(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise SSEEventTooLarge
