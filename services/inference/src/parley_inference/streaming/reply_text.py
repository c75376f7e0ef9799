"""A reply as it grows: its parts in order, measured in code points, cut at any of them."""

import re
from bisect import bisect_right

import msgspec

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_encode = msgspec.json.Encoder().encode
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")
_QUOTES = 2


class ReplyText:
    """Grows until its text, encoded as JSON, has `most_json_bytes`; what exceeds them is cut.

    Half a surrogate pair waits for its other half; alone it becomes U+FFFD.
    """

    def __init__(self, most_json_bytes: int) -> None:
        self.length = 0
        self.full = False
        self._room = most_json_bytes - _QUOTES
        self._parts: list[str] = []
        self._ends: list[int] = []
        self._half = ""

    def append(self, text: str) -> bool:
        """Add `text` to the end; False when nothing became readable by it."""
        if self.full:
            return False
        try:
            size = _encode_size(text) if not self._half else None
        except UnicodeEncodeError:
            size = None
        if size is None:
            text = self._mended(text)
            size = _encode_size(text)
        if size > self._room:
            text, self.full = _fitting(text, self._room), True
            size = _encode_size(text)
        return self._add(text, size)

    def close(self) -> bool:
        """No more text comes: a half that still waits is alone. True when it became readable."""
        waiting, self._half = self._half, ""
        return self.append(REPLACEMENT) if waiting else False

    def since(self, place: int) -> str:
        """The text after its first `place` code points."""
        if place >= self.length:
            return ""
        index = bisect_right(self._ends, place)
        first = self._parts[index]
        inside = len(first) - (self._ends[index] - place)
        if index == len(self._parts) - 1:
            return first[inside:]
        return "".join((first[inside:], *self._parts[index + 1 :]))

    def _add(self, text: str, size: int) -> bool:
        if not text:
            return False
        self._room -= size
        self.length += len(text)
        self._parts.append(text)
        self._ends.append(self.length)
        return True

    def _mended(self, text: str) -> str:
        text = self._half + text
        waits = "\ud800" <= text[-1:] <= "\udbff"
        text, self._half = (text[:-1], text[-1]) if waits else (text, "")
        return _HALF.sub(REPLACEMENT, _PAIR.sub(_joined, text))


def _encode_size(text: str) -> int:
    return len(_encode(text)) - _QUOTES


def _fitting(text: str, room: int) -> str:
    """The longest beginning of `text` that takes `room` bytes of JSON at most."""
    fits, exceeds = 0, len(text)
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if _encode_size(text[:middle]) <= room:
            fits = middle
        else:
            exceeds = middle
    return text[:fits]


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
