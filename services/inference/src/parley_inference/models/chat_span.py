"""Span of a call to a model, with its retries, by the conventions for generative AI.

Sources: https://github.com/open-telemetry/semantic-conventions-genai and, for the name of the
provider, https://opentelemetry.io/docs/specs/semconv/gen-ai/openai/
"""

import time
from typing import Any

import msgspec

from parley_core.runtime.request_context import log_fields
from parley_core.tracing.spans import NO_SPAN, Span, is_tracing, server_attributes, span
from parley_inference.models.model_catalogue import Model
from parley_inference.models.wire.chunk_parser import ParsedChunk, parse_token_counts
from parley_inference.models.wire.stream_attempt import ClientDisconnected, OnChunk

# Of a name that the model server sent.
_MAX_NAME_LENGTH = 128


def chat_span(model: Model) -> Span:
    """A client span `chat {model}`, where a trace is recorded."""
    if not is_tracing():
        return NO_SPAN
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        # The protocol: only the address tells whose server it is.
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model.upstream_name,
        "parley.model": model.name,
        **server_attributes(model.base_url),
    }
    if (session_id := log_fields().get("session_id")) is not None:
        attributes["gen_ai.conversation.id"] = session_id
    name = f"chat {model.upstream_name}"
    return span(name, "client", attributes, ignored=(ClientDisconnected,))


def record_chunks(on_chunk: OnChunk, chat: Span) -> OnChunk:
    """Return `on_chunk`, wrapped to record the first chunk, finish reason and token counts."""
    if not chat.recording:
        return on_chunk
    started_at, any_chunk = time.monotonic(), False

    def record_and_handle(parsed: ParsedChunk) -> bool:
        nonlocal any_chunk
        if parsed.events and not any_chunk:
            any_chunk = True
            seconds = time.monotonic() - started_at
            chat.set({"gen_ai.response.time_to_first_chunk": seconds})
        if parsed.first_chunk is not None:
            _record_model(chat, parsed.first_chunk)
        if parsed.finish_reason is not None:
            chat.set({"gen_ai.response.finish_reasons": [parsed.finish_reason]})
        if parsed.tokens is not None:
            _record_tokens(chat, *parsed.tokens)
        return on_chunk(parsed)

    return record_and_handle


def record_response(chat: Span, body: bytes) -> None:
    """Record the model, finish reasons and token counts of a response that is not streamed."""
    if not chat.recording:
        return
    try:
        response = _RESPONSE.decode(body)
    except ValueError:
        return
    if response.model is not None:
        chat.set({"gen_ai.response.model": response.model[:_MAX_NAME_LENGTH]})
    reasons = [each.finish_reason for each in response.choices or () if each.finish_reason]
    chat.set({"gen_ai.response.finish_reasons": [each[:_MAX_NAME_LENGTH] for each in reasons]})
    if (tokens := parse_token_counts(response.usage)) is not None:
        _record_tokens(chat, *tokens)


def _record_model(chat: Span, chunk: bytes) -> None:
    try:
        model = _MODEL.decode(chunk).model
    except ValueError:
        return
    if model is not None:
        chat.set({"gen_ai.response.model": model[:_MAX_NAME_LENGTH]})


def _record_tokens(chat: Span, prompt: int, completion: int) -> None:
    chat.set({"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": completion})


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Named(msgspec.Struct):
    model: str | None = None


class _Response(_Named):
    choices: list[_Choice] | None = None
    usage: Any = None


_MODEL = msgspec.json.Decoder(_Named)
_RESPONSE = msgspec.json.Decoder(_Response)
