"""Server-sent events: their encoding, the events of a turn, and the replay of an ended turn.

An event id is a position in the reply: the number of code points up to the end of the event.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator

import msgspec

from parley_contracts.api_models import ErrorShape, Message, Turn

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}
HEARTBEAT = b": heartbeat\n\n"
HEARTBEAT_SECONDS = 15
END = "end"

# Characters at which `str.splitlines` of Python ends a line, beside those that JSON escapes.
_LINE_ENDS = (
    ("\u0085".encode(), b"\\u0085"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_encode = msgspec.json.Encoder().encode


def event(data: bytes, event_id: str | None = None) -> bytes:
    """One event with JSON as its data, which no client can mistake for several lines.

    The id comes last: some clients store it as soon as they read it, and after a cut in the middle
    of the event they would resume behind text that they never had.
    """
    for line_end, escaped in _LINE_ENDS:
        data = data.replace(line_end, escaped)
    # Outside of strings, JSON may have line breaks as white space.
    data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    last = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return b"data: " + data + b"\n" + last + b"\n"


def started(turn: Turn, stream_url: str) -> bytes:
    """`turn.started`, at position 0; its version is the session's when the turn was opened.

    `stream_url` grants access to the turn's stream without a token.
    """
    data = {
        "type": "turn.started",
        "sequence_number": 0,
        "session_id": turn.session_id,
        "turn_id": turn.id,
        "message_id": turn.message.id,
        "reply_id": turn.reply_id,
        # The event that requests the reply follows the message, in the same append.
        "version": turn.message.version + 1,
        "stream_url": stream_url,
    }
    return event(_encode(data), "0")


def delta(text: str, position: int) -> bytes:
    """`reply.delta`; `position` is that of the end of `text`."""
    data = {"type": "reply.delta", "sequence_number": position, "delta": text}
    return event(_encode(data), str(position))


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
    return event(_encode(data), END)


def erased(turn: Turn) -> bytes:
    """The last event of a turn whose session was erased while it ran: the reply has no text."""
    reply = Message(
        id=turn.reply_id,
        session_id=turn.session_id,
        turn_id=turn.id,
        parent_message_id=turn.message.id,
        role="assistant",
        content="",
        status="cancelled",
        version=turn.version,
        created_at=turn.message.created_at,
    )
    error = ErrorShape(
        message="The session was deleted or erased.",
        type="invalid_request_error",
        code="session_erased",
    )
    end = {"status": "cancelled", "reply": reply, "error": error}
    return ended(turn.model_copy(update=end))


def replay(turn: Turn, after: int) -> Iterator[bytes]:
    """The events of an ended turn after the position `after`."""
    assert turn.reply is not None
    if rest := turn.reply.content[after:]:
        yield delta(rest, len(turn.reply.content))
    yield ended(turn)
