"""One streaming request to a model server, with its timeouts and the mapping of its errors."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing

import aiohttp
import httpx2
import openai

from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.model_catalogue import ServerLimits
from parley_inference.models.wire.chunk_parser import ChunkParser, ParsedChunk

Request = AbstractAsyncContextManager[httpx2.Response]
"""Sent on entry, closed on exit."""

OnChunk = Callable[[ParsedChunk], bool]
"""Handles the chunks of one read; returns False to end the stream early."""

Forward = Callable[[], Awaitable[None]]
"""Awaited after each `OnChunk`; nothing is read from the model server meanwhile.

Raises ClientDisconnected to end the stream.
"""

TRANSPORT_ERRORS = (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError)

# Time after the finish reason for the usage and `[DONE]`, which some servers never send.
AFTER_FINISH_SECONDS = 2
# Time after `[DONE]` for the server to end its response, so that the connection can be reused.
_CLOSE_SECONDS = 0.1


class ClientDisconnected(Exception):
    """The client no longer reads the response."""


class StreamAttempt:
    """Streams one reply; `on_first_text` is called with the seconds from request to first text."""

    def __init__(
        self,
        parser: ChunkParser,
        on_chunk: OnChunk,
        limits: ServerLimits,
        *,
        on_first_text: Callable[[float], None],
        forward: Forward | None = None,
    ) -> None:
        self._parser, self._on_chunk, self._forward = parser, on_chunk, forward
        self._on_first_text, self._started_at = on_first_text, time.monotonic()
        self._limits = limits
        self._text_received = self._finished = self._response_started = False

    async def run(self, request: Request) -> None:
        """Raises UpstreamError, except for an error after the server finished the reply."""
        try:
            await self._run(request)
        except UpstreamError as error:
            error.partially_sent = self._text_received
            if not self._finished:
                raise

    async def _run(self, request: Request) -> None:
        try:
            async with asyncio.timeout(self._limits.first_token_seconds) as timeout:
                await self._read(request, timeout)
        except TimeoutError:
            raise UpstreamError("upstream_timeout") from None
        except TRANSPORT_ERRORS as error:
            raise classify_disconnect(error, response_started=self._response_started) from None

    async def _read(self, request: Request, timeout: asyncio.Timeout) -> None:
        now = asyncio.get_running_loop().time
        async with request as response, aclosing(response.aiter_bytes()) as body:
            self._response_started = True
            async for received in body:
                parsed = self._parser.feed(received)
                had_text, wanted = self._text_received, self._handle(parsed)
                if self._text_received and not had_text:
                    await asyncio.sleep(0)  # Let subscribers send the first text before reading on.
                if self._forward is not None and parsed.events:
                    timeout.reschedule(None)  # A slow client must not count against the server.
                    await self._forward()
                if not wanted:
                    return
                if parsed.events or parsed.done:
                    timeout.reschedule(now() + self._timeout_after(parsed))
        self._handle(self._parser.close())
        if not self._finished:
            raise UpstreamError("upstream_broken", transient=True)

    def _handle(self, parsed: ParsedChunk) -> bool:
        if parsed.text and not self._text_received:
            self._text_received = True
            self._on_first_text(time.monotonic() - self._started_at)
        self._finished = self._finished or parsed.done or parsed.finish_reason is not None
        if not self._on_chunk(parsed):
            return False
        if parsed.error is not None:
            raise parsed.error
        return True

    def _timeout_after(self, parsed: ParsedChunk) -> float:
        if parsed.done:
            return _CLOSE_SECONDS
        return AFTER_FINISH_SECONDS if self._finished else self._limits.between_tokens_seconds


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body of a response that is not streamed. Raises UpstreamError."""
    response_started = False
    body = bytearray()
    try:
        async with request as response, aclosing(response.aiter_bytes()) as pieces:
            response_started = True
            async for received in pieces:
                body += received
                if len(body) > max_bytes:
                    raise UpstreamError("upstream_garbage")
    except TRANSPORT_ERRORS as error:
        raise classify_disconnect(error, response_started=response_started) from None
    return bytes(body)


def classify_disconnect(error: Exception, *, response_started: bool) -> UpstreamError:
    # Not HTTP, or not the content encoding that the headers declare.
    if isinstance(error, aiohttp.ClientResponseError | httpx2.DecodingError):
        return UpstreamError("upstream_garbage")
    code: FailureCode = "upstream_broken" if response_started else "upstream_unavailable"
    return UpstreamError(code, transient=True, cause=type(error.__cause__ or error).__name__)
