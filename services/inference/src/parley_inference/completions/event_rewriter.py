"""A completion's events on their way to whoever asked: only their `id` and `model` are Parley's."""

import json
from typing import Any

import msgspec

from parley_inference.models.wire.chunk_parser import (
    ChunkParser,
    Event,
    ParsedChunk,
    decoded,
    tokens_of,
)

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class CompletionChunkParser(ChunkParser):
    """Adds each event to `events` as it is to be sent; a piece's text is all that was said."""

    def __init__(
        self,
        most_event_bytes: int,
        events: list[bytes],
        *,
        identity: dict[str, str],
        choices: int,
        with_usage: bool,
    ) -> None:
        super().__init__(most_event_bytes)
        self._rewritten, self._identity = events, identity
        self._unfinished, self._with_usage = choices, with_usage

    def _take_chunk(self, data: bytes, piece: ParsedChunk, texts: list[str]) -> None:
        chunk = decoded(data, _CHUNK)
        for choice in chunk.choices or ():
            texts += _said(choice.delta or {})
            self._unfinished -= choice.finish_reason is not None
        if self._unfinished <= 0:
            piece.finish_reason = "stop"
        if chunk.usage is not None:
            piece.tokens = tokens_of(chunk.usage)
        if chunk.choices or chunk.usage is None or self._with_usage:
            drop = () if self._with_usage else ("usage",)
            rewritten = with_fields(data, self._identity, drop=drop)
            self._rewritten.append(b"data: %b\n\n" % rewritten)


def with_fields(data: bytes, fields: dict[str, Any], *, drop: tuple[str, ...] = ()) -> bytes:
    """A JSON object with some of its fields replaced; the others stay as they are written."""
    try:
        there: dict[str, Any] = dict(_fields(data))
    except ValueError:  # Half a surrogate pair in an escape.
        there = json.loads(data)
    for name in drop:
        there.pop(name, None)
    try:
        return _encode(there | fields)
    except UnicodeEncodeError:
        return json.dumps(there | fields).encode()


class _Choice(msgspec.Struct):
    delta: dict[str, Any] | None = None
    finish_reason: Any = None


class _Chunk(Event):
    choices: list[_Choice] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def _said(delta: dict[str, Any]) -> list[str]:
    """Everything but who speaks: the text, what was thought before it, calls of tools."""
    values = (value for name, value in delta.items() if name != "role" and value)
    return [value if isinstance(value, str) else json.dumps(value) for value in values]
