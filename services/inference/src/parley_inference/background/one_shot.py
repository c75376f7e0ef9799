"""One question to a model beside the turns, answered in short, within a time and a size."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from parley_events.values import Price, Usage
from parley_inference.models.model_catalogue import Model
from parley_inference.models.outcome import estimate, usage_of
from parley_inference.models.wire.chunk_parser import ParsedChunk, TokenCounts
from parley_inference.session.context_window_cache import ChatMessage
from parley_inference.streaming.reply_text import ReplyText
from parley_inference.turns.generation import Provider


@dataclass(frozen=True, slots=True)
class OneShotResult:
    text: str
    usage: Usage
    price: Price | None


async def ask(
    provider: Provider,
    model: Model,
    messages: Sequence[ChatMessage],
    *,
    seconds: float,
    most_bytes: int,
) -> OneShotResult:
    """What the model answers, cut at `most_bytes`. Raises UpstreamError and TimeoutError."""
    reply = ReplyText(most_bytes)
    counted: TokenCounts | None = None

    def take(piece: ParsedChunk) -> bool:
        nonlocal counted
        reply.append(piece.text)
        counted = piece.tokens or counted
        return not reply.full

    async with asyncio.timeout(seconds):
        await provider.stream(model, messages, take)
    reply.close()
    text = reply.since(0)
    size = sum(len(message["content"].encode()) for message in messages)
    # What the server counted until it was cut off is not what it will count.
    usage = usage_of(
        None if reply.full else counted,
        prompt_tokens=estimate(size),
        reply_bytes=len(text.encode()),
    )
    return OneShotResult(text, usage, model.price)
