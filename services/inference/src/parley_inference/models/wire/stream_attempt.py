"""One request to a model server, and what came of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

import aiohttp
import httpx2
import openai

from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import ServerLimits
from parley_inference.models.wire.chunk_parser import ParsedChunk

Request = AbstractAsyncContextManager[httpx2.Response]
"""Made when it is entered, and over when it is left."""

Take = Callable[[ParsedChunk], bool]
"""Is given what came; False when no more is wanted."""

PassOn = Callable[[], Awaitable[None]]
"""Is awaited after each `Take`; the model server waits meanwhile."""

TROUBLES = (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError)

# After `[DONE]`: until the server closes its answer, so that the connection can be used again.
_LAST_BYTES_SECONDS = 0.1


class Reader(Protocol):
    """Takes apart what a model server streams."""

    def feed(self, received: bytes) -> ParsedChunk: ...

    def close(self) -> ParsedChunk: ...


class StreamAttempt:
    """A reply that is streamed; `after_finish` are the seconds that its last bytes may take.

    `began` is told the seconds until the first text.
    """

    def __init__(
        self,
        reader: Reader,
        take: Take,
        limits: ServerLimits,
        *,
        after_finish: float,
        began: Callable[[float], None],
        pass_on: PassOn | None = None,
    ) -> None:
        self._reader, self._take, self._pass_on = reader, take, pass_on
        self._began, self._started_at = began, time.monotonic()
        self._limits, self._after_finish = limits, after_finish
        self._begun = self._finished = self._answered = False

    async def run(self, request: Request) -> None:
        """Raises UpstreamError, unless the server had finished the reply before the trouble."""
        try:
            await self._run(request)
        except UpstreamError as failed:
            failed.begun = self._begun
            if not self._finished:
                raise

    async def _run(self, request: Request) -> None:
        try:
            async with asyncio.timeout(self._limits.first_token) as patience:
                await self._read(request, patience)
        except TimeoutError:
            raise UpstreamError("upstream_timeout") from None
        except TROUBLES as error:
            raise broken(error, answered=self._answered) from None

    async def _read(self, request: Request, patience: asyncio.Timeout) -> None:
        now = asyncio.get_running_loop().time
        async with request as response, aclosing(response.aiter_bytes()) as received:
            self._answered = True
            async for data in received:
                piece = self._reader.feed(data)
                begun, wanted = self._begun, self._given(piece)
                if self._begun and not begun:
                    await asyncio.sleep(0)  # The first text goes out before more of it is read.
                if self._pass_on is not None and piece.chunks:
                    patience.reschedule(None)  # It is not the server that is slow now.
                    await self._pass_on()
                if not wanted:
                    return
                if piece.chunks or piece.done:
                    patience.reschedule(now() + self._wait_after(piece))
        self._given(self._reader.close())
        if not self._finished:
            raise UpstreamError("upstream_broken", passing=True)

    def _given(self, piece: ParsedChunk) -> bool:
        if piece.text and not self._begun:
            self._begun = True
            self._began(time.monotonic() - self._started_at)
        self._finished = self._finished or piece.done or piece.finish_reason is not None
        if not self._take(piece):
            return False
        if piece.trouble is not None:
            raise piece.trouble
        return True

    def _wait_after(self, piece: ParsedChunk) -> float:
        if piece.done:
            return _LAST_BYTES_SECONDS
        return self._after_finish if self._finished else self._limits.between_tokens


async def read_whole(request: Request, most_bytes: int) -> bytes:
    """The body of an answer that is not streamed. Raises UpstreamError."""
    answered = False
    body = bytearray()
    try:
        async with request as response, aclosing(response.aiter_bytes()) as received:
            answered = True
            async for data in received:
                body += data
                if len(body) > most_bytes:
                    raise UpstreamError("upstream_garbage")
    except TROUBLES as error:
        raise broken(error, answered=answered) from None
    return bytes(body)


def broken(error: Exception, *, answered: bool) -> UpstreamError:
    # Not HTTP, or not the compression that it says.
    if isinstance(error, aiohttp.ClientResponseError | httpx2.DecodingError):
        return UpstreamError("upstream_garbage")
    if answered:
        return UpstreamError("upstream_broken", passing=True)
    return UpstreamError("upstream_unavailable", passing=True)
