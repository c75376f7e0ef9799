"""What a model server streams, taken apart: bytes become text, the reason of the end, and usage.

Each event's data is one chat completion chunk, and `[DONE]` the last's.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec

from parley_contracts.api_models import FinishReason
from parley_inference.models.failures import UpstreamError, refusal
from parley_inference.models.wire.sse_parser import EventTooLarge, SSEParser

_DONE = b"[DONE]"
# More than this no one counted: session refuses it.
_MOST_TOKENS = 2**53
_FINISH_REASONS: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}


class TokenCounts(NamedTuple):
    """What the model server counted."""

    prompt: int
    completion: int


@dataclass(slots=True)
class ParsedChunk:
    """What one read from the network brought.

    `trouble` is how the stream failed after that; `chunks` is 0 where nothing but comments came.
    """

    text: str = ""
    finish_reason: FinishReason | None = None
    tokens: TokenCounts | None = None
    done: bool = False
    chunks: int = 0
    trouble: UpstreamError | None = None


class ChunkParser:
    """Reads one stream, split at any byte."""

    def __init__(self, most_event_bytes: int) -> None:
        self._events = SSEParser(most_event_bytes)
        self._bytes_came = self._chunk_came = False

    def feed(self, received: bytes) -> ParsedChunk:
        self._bytes_came = self._bytes_came or bool(received)
        piece = ParsedChunk()
        texts: list[str] = []
        try:
            for data in self._events.feed(received):
                if self._take(data.strip(), piece, texts):
                    break
        except EventTooLarge:
            piece.trouble = UpstreamError("upstream_garbage")
        except UpstreamError as failed:
            piece.trouble = failed
        piece.text = "".join(texts)
        self._chunk_came = self._chunk_came or piece.done or piece.chunks > 0
        return piece

    def close(self) -> ParsedChunk:
        """The connection ended: what a server sent without a blank line after it still counts."""
        bytes_came = self._bytes_came
        piece = self.feed(b"\n\n")
        if self._chunk_came and piece.trouble is not None:
            piece.trouble = None  # An event cut short: the stream broke.
        if bytes_came and not self._chunk_came and piece.trouble is None:
            piece.trouble = UpstreamError("upstream_garbage")
        return piece

    def _take(self, data: bytes, piece: ParsedChunk, texts: list[str]) -> bool:
        """Add one event to the piece; True when it was the last."""
        if data == _DONE:
            piece.done = True
            return True
        if data:
            self._take_chunk(data, piece, texts)
            piece.chunks += 1
        return False

    def _take_chunk(self, data: bytes, piece: ParsedChunk, texts: list[str]) -> None:
        """Raises UpstreamError where it is none, or an error."""
        chunk = decoded(data, _CHUNK)
        for choice in chunk.choices or ():
            if choice.index:
                continue  # One choice was asked for.
            if choice.delta is not None and choice.delta.content:
                texts.append(choice.delta.content)
            if choice.finish_reason is not None:
                piece.finish_reason = _FINISH_REASONS.get(choice.finish_reason, "stop")
        if chunk.usage is not None:
            piece.tokens = tokens_of(chunk.usage)


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class Event(msgspec.Struct):
    """What a chunk may have beside its choices, and what an error in its place has."""

    usage: Any = None
    error: Any = None
    object: Any = None
    code: Any = None


class _Chunk(Event):
    choices: list[_Choice] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_Form = TypeVar("_Form", bound=Event)


def decoded(data: bytes, decoder: msgspec.json.Decoder[_Form]) -> _Form:
    """Raises UpstreamError where it is no chunk, or an error."""
    try:
        event = decoder.decode(data)
    except (ValueError, RecursionError):
        event = _decoded_leniently(data, decoder.type)
    if event.error is not None or event.object == "error":
        raise _reported(event)
    return event


def _decoded_leniently(data: bytes, form: type[_Form]) -> _Form:
    try:
        # The standard library takes half a surrogate pair in an escape, which models do send.
        return msgspec.convert(json.loads(data), form)
    except (ValueError, RecursionError):
        raise UpstreamError("upstream_garbage") from None


def _reported(event: Event) -> UpstreamError:
    """An error in the stream: servers put the status that it would have had into `code`."""
    error = event.error if isinstance(event.error, dict) else {"code": event.code}
    for status in (error.get("code"), error.get("status")):
        if isinstance(status, int) and 400 <= status <= 599:
            return refusal(status)
    return refusal(500)


def tokens_of(usage: Any) -> TokenCounts | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return None if prompt is None or completion is None else TokenCounts(prompt, completion)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
