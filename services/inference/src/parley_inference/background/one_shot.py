"""One-shot request to a model outside of a turn: a short answer, bounded in time and size."""

import asyncio
from collections.abc import Sequence

from parley_core.token_estimate import estimate_tokens
from parley_inference.models.model_catalogue import Model
from parley_inference.models.outcome import usage_from
from parley_inference.models.provider import Provider
from parley_inference.models.server_circuit import Person
from parley_inference.models.wire.chat_message import ChatMessage
from parley_inference.models.wire.chunk_parser import ParsedChunk, TokenCounts
from parley_inference.session.usage_record import OneShotResult
from parley_inference.streaming.reply_text import ReplyText


async def complete_once(
    provider: Provider,
    model: Model,
    messages: Sequence[ChatMessage],
    person: Person,
    *,
    timeout_seconds: float,
    max_bytes: int,
) -> OneShotResult:
    """Return the model's answer, cut at `max_bytes`; empty when the model refused.

    Raises UpstreamError and TimeoutError.
    """
    reply = ReplyText(max_bytes)
    tokens: TokenCounts | None = None
    refused = False

    def on_chunk(parsed: ParsedChunk) -> bool:
        nonlocal tokens, refused
        reply.append(parsed.text)
        tokens, refused = parsed.tokens or tokens, refused or parsed.refused
        return not reply.full

    async with asyncio.timeout(timeout_seconds):
        await provider.stream(model, messages, person, on_chunk)
    reply.close()
    text = reply.since(0)
    prompt_bytes = sum(len(message["content"].encode()) for message in messages)
    # A stream that was cut off never reports its final token counts.
    usage = usage_from(
        None if reply.full else tokens,
        prompt_tokens=estimate_tokens(prompt_bytes),
        reply_bytes=len(text.encode()),
    )
    return OneShotResult("" if refused else text, usage, model.price)
