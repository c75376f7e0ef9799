"""The `stream_url` of a running turn that is answered as JSON."""

from collections.abc import Callable

import msgspec

_RUNNING = b'"running"'

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def with_stream_url(turn: bytes, stream_url: Callable[[], str]) -> bytes:
    """The turn as it is encoded, and while it is running with a URL that streams it."""
    try:
        fields = _decode(turn)
    except ValueError:
        return turn  # It is not a turn, and the client will see that.
    if bytes(fields.get("status", b"")) != _RUNNING:
        return turn
    return _encode({**fields, "stream_url": stream_url()})
