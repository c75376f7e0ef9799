"""One request to a model server, read as fast as it streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import msgspec

from parley_inference.models.model_catalogue import ServerLimits
from parley_inference.models.wire.chunk_parser import ChunkParser, ParsedChunk
from parley_inference.models.wire.stream_attempt import StreamAttempt

LIMITS = ServerLimits(at_once=1, wait=1, connect=1, first_token=5, between_tokens=5, total=5)


def event(text: str) -> bytes:
    return b"data: " + msgspec.json.encode({"choices": [{"delta": {"content": text}}]}) + b"\n\n"


class AllAtOnce(httpx2.AsyncByteStream):
    """Never waits between its pieces."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in (event(""), event("one"), event("two"), b"data: [DONE]\n\n"):
            yield piece


@asynccontextmanager
async def request() -> AsyncIterator[httpx2.Response]:
    yield httpx2.Response(200, stream=AllAtOnce())


async def test_the_first_text_goes_out_before_more_is_read() -> None:
    taken: list[str] = []
    news = asyncio.Event()

    async def reader() -> list[str]:
        await news.wait()
        return [*taken]

    def take(piece: ParsedChunk) -> bool:
        taken.append(piece.text)
        if piece.text:
            news.set()
        return True

    reading = asyncio.create_task(reader())
    await asyncio.sleep(0)
    attempt = StreamAttempt(ChunkParser(1_000), take, LIMITS, after_finish=5, began=lambda _: None)
    await attempt.run(request())
    assert await reading == ["", "one"]
    assert "".join(taken) == "onetwo"
