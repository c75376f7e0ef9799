"""A streaming request whose response arrives faster than it is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import msgspec

from parley_inference.models.model_catalogue import ServerLimits
from parley_inference.models.wire.chunk_parser import ChunkParser, ParsedChunk
from parley_inference.models.wire.stream_attempt import StreamAttempt

LIMITS = ServerLimits(first_token_seconds=5, between_tokens_seconds=5)


def event(text: str) -> bytes:
    return b"data: " + msgspec.json.encode({"choices": [{"delta": {"content": text}}]}) + b"\n\n"


class UnpacedStream(httpx2.AsyncByteStream):
    """Never yields to the event loop between its pieces."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in (event(""), event("one"), event("two"), b"data: [DONE]\n\n"):
            yield piece


@asynccontextmanager
async def request() -> AsyncIterator[httpx2.Response]:
    yield httpx2.Response(200, stream=UnpacedStream())


async def test_the_first_text_is_delivered_before_more_is_read() -> None:
    received: list[str] = []
    has_text = asyncio.Event()

    async def subscriber() -> list[str]:
        await has_text.wait()
        return [*received]

    def on_chunk(parsed: ParsedChunk) -> bool:
        received.append(parsed.text)
        if parsed.text:
            has_text.set()
        return True

    reading = asyncio.create_task(subscriber())
    await asyncio.sleep(0)
    attempt = StreamAttempt(ChunkParser(), on_chunk, LIMITS, on_first_text=lambda _: None)
    await attempt.run(request())
    assert await reading == ["", "one"]
    assert "".join(received) == "onetwo"
