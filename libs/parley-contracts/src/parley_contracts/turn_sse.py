"""The server-sent events of a turn: their form on the wire, and the last ones of an ended turn.

An event's id is a place in the reply: how many code points were delivered up to and including it.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator

import msgspec

from parley_contracts.api_models import Turn

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}
HEARTBEAT = b": heartbeat\n\n"
HEARTBEAT_SECONDS = 15
END = "end"

_encode = msgspec.json.Encoder().encode


def started(turn: Turn, stream_url: str) -> bytes:
    """`turn.started`, at place 0; its version is the session's when the turn was opened.

    Whoever has `stream_url` reads the turn's stream, without a token.
    """
    data = {
        "type": "turn.started",
        "sequence_number": 0,
        "session_id": turn.session_id,
        "turn_id": turn.id,
        "message_id": turn.message.id,
        "reply_id": turn.reply_id,
        # The request of a turn follows its message, in the same append.
        "version": turn.message.version + 1,
        "stream_url": stream_url,
    }
    return b"id: 0\ndata: " + _encode(data) + b"\n\n"


def delta(text: str, place: int) -> bytes:
    """`reply.delta`; `place` counts the code points up to the end of `text`."""
    data = {"type": "reply.delta", "sequence_number": place, "delta": text}
    return b"id: %d\ndata: " % place + _encode(data) + b"\n\n"


def ended(turn: Turn) -> bytes:
    """`reply.completed`, `reply.failed` or `reply.cancelled`: the last event of a turn."""
    assert turn.reply is not None
    data = {
        "type": f"reply.{turn.status}",
        "sequence_number": len(turn.reply.content),
        "turn_id": turn.id,
        "message": msgspec.Raw(turn.reply.to_json()),
        "version": turn.version,
    }
    if turn.reply.usage is not None:
        data["usage"] = msgspec.Raw(turn.reply.usage.to_json())
    if turn.error is not None:
        data["error"] = msgspec.Raw(turn.error.to_json())
    return b"id: end\ndata: " + _encode(data) + b"\n\n"


def replay(turn: Turn, after: int) -> Iterator[bytes]:
    """What of an ended turn's stream comes after the place `after`."""
    assert turn.reply is not None
    if rest := turn.reply.content[after:]:
        yield delta(rest, len(turn.reply.content))
    yield ended(turn)
