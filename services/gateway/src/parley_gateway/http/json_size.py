"""Limits the number of values in a JSON body before it is parsed.

A body of 4 MiB may have two million values. Parsing them, or reporting an error for each, blocks
the event loop for seconds; counting them takes a few milliseconds per MiB.
"""

from parley_core.http.errors import InvalidRequest

# More than 2,048 messages of a chat completion, each with a list of one text part, have. Parsing as
# many values takes under 10 ms, and reporting as many errors under 50 ms.
MAX_JSON_VALUES = 15_000
# 1,000 exported messages, which have up to 18 fields, in a document with its session.
MAX_IMPORTED_VALUES = 20_000

_SEPARATORS = (b",", b"[", b"{")


def check_json_size(body: bytes, max_values: int = MAX_JSON_VALUES) -> None:
    """Raises InvalidRequest for a body of over `max_values` values; accepts invalid JSON."""
    if _count(body) <= max_values:
        return
    # Most of the separators may be text.
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A key and its value have four quotation marks and one separator.
    has_room = unescaped.count(b'"') <= 4 * max_values
    if not has_room or _count(b"".join(unescaped.split(b'"')[::2])) > max_values:
        raise InvalidRequest(f"The body has over {max_values:,} JSON values.")


def _count(text: bytes) -> int:
    """An array of n values has n of them, and so has an object of n keys."""
    return sum(map(text.count, _SEPARATORS))
