"""Server-sent events as their data, from bytes that are split anywhere.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html; only `data` is of interest.
"""

from collections.abc import Iterator

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """A line or an event exceeds what may be held."""


class SSEParser:
    """Reads one stream; holds at most one line and one event of it."""

    def __init__(self, most_event_bytes: int) -> None:
        self._most_event_bytes = most_event_bytes
        self._carriage_return = b""
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each event that `received` completes. Raises EventTooLarge after them."""
        for line in self._lines(received):
            if line.startswith(b"data:"):
                self._data.append(line[5:])
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
        # Its newline may be the next byte; both together end one line.
        self._carriage_return = b"\r" if received.endswith(b"\r") else b""
        received = received.removesuffix(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, size: int) -> None:
        if size > self._most_event_bytes:
            raise EventTooLarge
