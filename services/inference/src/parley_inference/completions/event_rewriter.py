"""Rewrites the chunks of a streamed completion: only their `id` and `model` become Parley's."""

import json
from typing import Any

import msgspec

from parley_contracts.api_models import FinishReason
from parley_inference.models.wire.chunk_parser import (
    ChunkParser,
    Event,
    ParsedChunk,
    decode_event,
    finish_reason_of,
    parse_token_counts,
)

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class CompletionChunkParser(ChunkParser):
    """Appends rewritten chunks to `chunks`; the parsed text is everything that was generated."""

    def __init__(
        self,
        chunks: list[bytes],
        *,
        identity: dict[str, str],
        choices: int,
        with_usage: bool,
    ) -> None:
        super().__init__()
        self._rewritten, self._identity = chunks, identity
        self._unfinished_choices, self._with_usage = choices, with_usage
        self._finish_reason: FinishReason = "stop"

    def _parse_chunk(self, data: bytes, parsed: ParsedChunk, texts: list[str]) -> None:
        chunk = decode_event(data, _CHUNK)
        for choice in chunk.choices or ():
            texts += _delta_texts(choice.delta or {})
            if choice.finish_reason is not None:
                self._unfinished_choices -= 1
                self._finish_reason = finish_reason_of(choice.finish_reason)
        if self._unfinished_choices <= 0:
            parsed.finish_reason = self._finish_reason
        if chunk.usage is not None:
            parsed.tokens = parse_token_counts(chunk.usage)
        if chunk.choices or chunk.usage is None or self._with_usage:
            drop = () if self._with_usage else ("usage",)
            rewritten = replace_fields(data, self._identity, drop=drop)
            self._rewritten.append(rewritten)


def replace_fields(data: bytes, fields: dict[str, Any], *, drop: tuple[str, ...] = ()) -> bytes:
    """Replace or drop fields of a JSON object; the others are copied as they are encoded."""
    try:
        original: dict[str, Any] = dict(_decode_fields(data))
    except ValueError:  # An unpaired surrogate in an escape.
        original = json.loads(data)
    for name in drop:
        original.pop(name, None)
    try:
        return _encode(original | fields)
    except UnicodeEncodeError:
        return json.dumps(original | fields).encode()


def without_role(chunk: bytes) -> bytes:
    """The chunk without the role of its deltas: SDKs concatenate a role that is sent twice."""
    if b'"role"' not in chunk:
        return chunk
    fields = json.loads(chunk)
    for choice in fields.get("choices") or ():
        if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
            choice["delta"].pop("role", None)
    return json.dumps(fields).encode()


class _Choice(msgspec.Struct):
    delta: dict[str, Any] | None = None
    finish_reason: Any = None


class _Chunk(Event):
    choices: list[_Choice] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def _delta_texts(delta: dict[str, Any]) -> list[str]:
    """All generated text but the role: content, reasoning, tool calls."""
    values = (value for name, value in delta.items() if name != "role" and value)
    return [value if isinstance(value, str) else json.dumps(value) for value in values]
