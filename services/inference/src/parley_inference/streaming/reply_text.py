"""The growing text of a reply, measured in code points and readable from any of them."""

import re
from bisect import bisect_right

import msgspec

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_encode = msgspec.json.Encoder().encode
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTES = 2
# A string per token takes ten times the memory of its text; shorter parts are joined.
_MIN_PART_LENGTH = 512


class ReplyText:
    """Append-only text of at most `max_json_bytes` when encoded as JSON; the excess is cut off.

    An unpaired surrogate waits for its other half; alone it becomes U+FFFD.
    """

    def __init__(self, max_json_bytes: int) -> None:
        self.length = 0
        self.full = False
        self._bytes_left = max_json_bytes - _QUOTES
        self._parts: list[str] = []
        self._ends: list[int] = []
        self._surrogate = ""

    def append(self, text: str) -> bool:
        """Append `text`; return whether any text became readable."""
        if self.full:
            return False
        try:
            size = _json_size(text) if not self._surrogate else None
        except UnicodeEncodeError:
            size = None
        if size is None:
            text = self._pair_surrogates(text)
            size = _json_size(text)
        if size > self._bytes_left:
            text, self.full = _longest_prefix(text, self._bytes_left), True
            size = _json_size(text)
        return self._add(text, size)

    def close(self) -> bool:
        """Flush: an unpaired surrogate becomes U+FFFD. Returns whether text became readable."""
        pending, self._surrogate = self._surrogate, ""
        return self.append(REPLACEMENT) if pending else False

    def since(self, position: int) -> str:
        """Return the text after its first `position` code points."""
        if position >= self.length:
            return ""
        index = bisect_right(self._ends, position)
        first = self._parts[index]
        start = len(first) - (self._ends[index] - position)
        if index == len(self._parts) - 1:
            return first[start:]
        return "".join((first[start:], *self._parts[index + 1 :]))

    def _add(self, text: str, size: int) -> bool:
        if not text:
            return False
        self._bytes_left -= size
        self.length += len(text)
        if self._parts and len(self._parts[-1]) < _MIN_PART_LENGTH:
            self._parts[-1] += text
            self._ends[-1] = self.length
        else:
            self._parts.append(text)
            self._ends.append(self.length)
        return True

    def _pair_surrogates(self, text: str) -> str:
        text = self._surrogate + text
        ends_with_half = "\ud800" <= text[-1:] <= "\udbff"
        text, self._surrogate = (text[:-1], text[-1]) if ends_with_half else (text, "")
        return _SURROGATE.sub(REPLACEMENT, _SURROGATE_PAIR.sub(_combined, text))


def _json_size(text: str) -> int:
    return len(_encode(text)) - _QUOTES


def _longest_prefix(text: str, max_bytes: int) -> str:
    """Return the longest prefix of `text` with at most `max_bytes` of JSON."""
    fits, exceeds = 0, len(text)
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if _json_size(text[:middle]) <= max_bytes:
            fits = middle
        else:
            exceeds = middle
    return text[:fits]


def _combined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
