"""Server-sent events of a turn: their encoding, and the replay of an ended turn.

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

_encode = msgspec.json.Encoder().encode


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
    return b"id: 0\ndata: " + _encode(data) + b"\n\n"


def delta(text: str, position: int) -> bytes:
    """`reply.delta`; `position` is that of the end of `text`."""
    data = {"type": "reply.delta", "sequence_number": position, "delta": text}
    return b"id: %d\ndata: " % position + _encode(data) + b"\n\n"


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
