"""Parser of a streamed chat completion: bytes to text, finish reason and token counts.

The data of each event is one chat completion chunk; the last event's is `[DONE]`.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec

from parley_contracts.api_models import FinishReason
from parley_core.streaming.sse import SSEEventTooLarge, SSEParser
from parley_events.values import MAX_COUNT
from parley_inference.models.failures import UpstreamError, error_for
from parley_inference.models.server_error import parse_stream_error

MAX_EVENT_BYTES = 1024 * 1024
"""Maximum size of one event; larger ones are treated as an invalid response."""

_DONE = b"[DONE]"
_FINISH_REASONS: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}


class TokenCounts(NamedTuple):
    """Token counts reported by the model server."""

    prompt: int
    completion: int


@dataclass(slots=True)
class ParsedChunk:
    """The chunks that one read from the network completed, merged.

    `refused` when `text` contains a refusal, `tool_calls` when the model called a tool. `error` is
    how the stream failed after them; `events` is 0 when only comments arrived. `first_chunk` is
    the first one of the stream, as it was received.
    """

    text: str = ""
    refused: bool = False
    tool_calls: bool = False
    finish_reason: FinishReason | None = None
    tokens: TokenCounts | None = None
    done: bool = False
    events: int = 0
    error: UpstreamError | None = None
    first_chunk: bytes | None = None


class ChunkParser:
    """Parses one stream, whose bytes may be split anywhere."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._sse = SSEParser(max_event_bytes)
        self._any_bytes = self._any_chunk = self._any_event = False

    def feed(self, received: bytes) -> ParsedChunk:
        self._any_bytes = self._any_bytes or bool(received)
        parsed = ParsedChunk()
        texts: list[str] = []
        try:
            for data in self._sse.feed(received):
                if self._parse_event(data.strip(), parsed, texts):
                    break
        except SSEEventTooLarge:
            parsed.error = UpstreamError("upstream_garbage")
        except UpstreamError as error:
            parsed.error = error
        parsed.text = "".join(texts)
        self._any_chunk = self._any_chunk or parsed.done or parsed.events > 0
        return parsed

    def close(self) -> ParsedChunk:
        """Flush at the end of the connection: a last event without its blank line counts."""
        any_bytes = self._any_bytes
        parsed = self.feed(b"\n\n")
        if self._any_chunk and parsed.error is not None:
            parsed.error = None  # An event cut short: the stream broke.
        if any_bytes and not self._any_chunk and parsed.error is None:
            parsed.error = UpstreamError("upstream_garbage")
        return parsed

    def _parse_event(self, data: bytes, parsed: ParsedChunk, texts: list[str]) -> bool:
        """Add one event to `parsed` and `texts`; return whether it was the last."""
        if data == _DONE:
            parsed.done = True
            return True
        if data:
            self._parse_chunk(data, parsed, texts)
            parsed.events += 1
            if not self._any_event:
                self._any_event = True
                parsed.first_chunk = data
        return False

    def _parse_chunk(self, data: bytes, parsed: ParsedChunk, texts: list[str]) -> None:
        """Raises UpstreamError for an invalid chunk, and for an error in its place."""
        chunk = decode_event(data, _CHUNK)
        for choice in chunk.choices or ():
            if choice.index:
                continue  # Only one choice was requested.
            if (delta := choice.delta) is not None:
                if delta.content:
                    texts.append(delta.content)
                if delta.refusal:
                    texts.append(delta.refusal)
                    parsed.refused = True
                parsed.tool_calls = parsed.tool_calls or bool(delta.tool_calls)
            if choice.finish_reason is not None:
                parsed.finish_reason = finish_reason_of(choice.finish_reason)
        if chunk.usage is not None:
            parsed.tokens = parse_token_counts(chunk.usage)


def finish_reason_of(reason: object) -> FinishReason:
    """Parley's name for a model server's finish reason."""
    return _FINISH_REASONS.get(str(reason), "stop")


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class Event(msgspec.Struct):
    """Fields of a chunk beside its choices, and of an error in its place."""

    usage: Any = None
    error: Any = None
    object: Any = None


class _Chunk(Event):
    choices: list[_Choice] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_Event = TypeVar("_Event", bound=Event)


def decode_event(data: bytes, decoder: msgspec.json.Decoder[_Event]) -> _Event:
    """Raises UpstreamError for an invalid event, and for an error in its place."""
    try:
        event = decoder.decode(data)
    except (ValueError, RecursionError):
        event = _decode_leniently(data, decoder.type)
    if event.error is not None or event.object == "error":
        raise error_for(parse_stream_error(data))
    return event


def _decode_leniently(data: bytes, event_type: type[_Event]) -> _Event:
    try:
        # The standard library accepts an unpaired surrogate in an escape, which models do send.
        return msgspec.convert(json.loads(data), event_type)
    except (ValueError, RecursionError):
        raise UpstreamError("upstream_garbage") from None


def parse_token_counts(usage: Any) -> TokenCounts | None:
    """None when a count is missing or implausible: the caller then estimates them."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return None if prompt is None or completion is None else TokenCounts(prompt, completion)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None
