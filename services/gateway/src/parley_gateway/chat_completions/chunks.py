"""Converts a turn's events to the chunks of a streamed chat completion.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from typing import Any

import msgspec

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import ErrorShape, Turn
from parley_gateway.chat_completions.errors import ReplyIncomplete, error_event
from parley_gateway.chat_completions.responses import (
    completion_id,
    created_at,
    openai_finish_reason,
)
from parley_gateway.turns.sse_framing import MalformedEventStream

_TEXT = b'"@"'
_DONE = b"data: [DONE]\n\n"


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Reply(msgspec.Struct):
    model: str | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None


class _Error(msgspec.Struct):
    message: str
    type: str
    code: str | None = None


class _Event(msgspec.Struct):
    type: str
    delta: msgspec.Raw = msgspec.Raw(b'""')
    message: _Reply | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


class CompletionChunks:
    """Chunks carry the requested `model`; the last ones carry the model that replied."""

    def __init__(self, turn: Turn, model: str, *, with_usage: bool) -> None:
        self.ended = False
        self._with_usage = with_usage
        self._head: dict[str, Any] = {
            "id": completion_id(turn.id),
            "object": "chat.completion.chunk",
            "created": created_at(turn),
            "model": model,
            "system_fingerprint": None,
        }
        # Text chunks differ only in the text, which is copied without decoding.
        # It comes from an event, in which line ends are escaped already.
        text = self._chunk({"content": msgspec.Raw(_TEXT)})
        self._before_text, _, self._after_text = text.rpartition(_TEXT)

    def first(self) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def convert(self, events: bytes) -> bytes:
        """The chunks of whole events; comments have none. Raises MalformedEventStream."""
        chunks = []
        for event in events.split(b"\n\n"):
            _, is_event, data = event.partition(b"data: ")
            if is_event:
                chunks.append(self._convert(data.partition(b"\n")[0]))
        return b"".join(chunks)

    def _convert(self, data: bytes) -> bytes:
        try:
            event = _decode(data)
        except ValueError:
            raise MalformedEventStream from None
        match event.type:
            case "reply.delta":
                return self._before_text + event.delta + self._after_text
            case "reply.completed":
                self.ended = True
                return self._end(event.message or _Reply())
            case "reply.failed" | "reply.cancelled":
                self.ended = True
                return error_event(ReplyIncomplete(_error_shape(event.error)))
            case _:
                return b""

    def _end(self, reply: _Reply) -> bytes:
        self._head["model"] = reply.model or self._head["model"]
        last = self._chunk({}, openai_finish_reason(reply.finish_reason))
        if self._with_usage and reply.usage is not None:
            last += _event(self._head | {"choices": [], "usage": reply.usage})
        return last + _DONE

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._with_usage else {}
        return _event({**self._head, "choices": [choice], **usage})


def _event(chunk: dict[str, Any]) -> bytes:
    return sse.event(_encode(chunk))


def _error_shape(error: _Error | None) -> ErrorShape | None:
    return None if error is None else ErrorShape(**msgspec.structs.asdict(error))
