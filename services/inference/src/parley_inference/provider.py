"""Streams from OpenAI-compatible model servers, through the `openai` package over aiohttp.

Raw bytes, not typed chunks: building the SDK's models costs two hundred times the decoding.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx2
import openai

from parley_inference.catalogue import Model
from parley_inference.chunks import ChunkReader, Piece
from parley_inference.context import ChatMessage
from parley_inference.failures import UpstreamFailed, refusal
from parley_inference.retrying import pause_before, retry_after_of

Take = Callable[[Piece], bool]
"""Is given what came; False when no more is wanted."""

# After `[DONE]`: until the server closes its answer, so that the connection can be used again.
_LAST_BYTES_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Seconds, bytes and counts; see the settings of the same names."""

    connect: float
    first_token: float
    between_tokens: float
    after_finish: float
    attempts: int
    retry: float
    retry_most: float
    event_bytes: int
    connections: int


class OpenAIProvider:
    def __init__(self, limits: UpstreamLimits) -> None:
        self._limits = limits
        self._http = openai.DefaultAioHttpClient(
            timeout=httpx2.Timeout(None, connect=limits.connect),
            limits=httpx2.Limits(max_connections=limits.connections),
            event_hooks={"response": [_refuse]},
        )
        self._clients: dict[tuple[str, str | None], openai.AsyncOpenAI] = {}

    async def stream(self, model: Model, messages: Sequence[ChatMessage], take: Take) -> None:
        """Give `take` what the model server streams, until the reply has ended.

        Asks again while nothing of the reply was given out. Raises UpstreamFailed.
        """
        for number in range(1, self._limits.attempts + 1):
            attempt = _Attempt(take, self._limits)
            try:
                await attempt.run(self._request(model, messages))
                return
            except UpstreamFailed as failed:
                if attempt.delivered or not failed.passing or number == self._limits.attempts:
                    raise
                pause = pause_before(
                    number,
                    failed.retry_after,
                    first=self._limits.retry,
                    most=self._limits.retry_most,
                    jitter=random.random(),  # noqa: S311 - it spreads load, nothing more.
                )
            await asyncio.sleep(pause)

    async def close(self) -> None:
        await self._http.aclose()

    def _request(self, model: Model, messages: Sequence[ChatMessage]) -> Any:
        return self._client(model).chat.completions.with_streaming_response.create(
            model=model.upstream_name,
            messages=[],
            stream=True,
            stream_options={"include_usage": True},
            # As `messages` the SDK would walk them by their types: 16 ms for a hundred of them.
            extra_body={"messages": messages},
            max_completion_tokens=model.reply_tokens or openai.omit,
            extra_headers={"Authorization": openai.Omit()} if model.key is None else None,
        )

    def _client(self, model: Model) -> openai.AsyncOpenAI:
        place = (model.base_url, model.key)
        if place not in self._clients:
            self._clients[place] = openai.AsyncOpenAI(
                base_url=model.base_url,
                api_key=model.key or "none",
                max_retries=0,
                http_client=self._http,
                # Compressed, a stream's tokens would arrive in bursts.
                default_headers={"accept-encoding": "identity"},
            )
        return self._clients[place]


class _Attempt:
    """One request to a model server, and what came of it."""

    def __init__(self, take: Take, limits: UpstreamLimits) -> None:
        self.delivered = False
        self._finished = self._answered = False
        self._take, self._limits = take, limits
        self._chunks = ChunkReader(limits.event_bytes)

    async def run(self, request: Any) -> None:
        """Raises UpstreamFailed, unless the server had finished the reply before the trouble."""
        try:
            async with asyncio.timeout(self._limits.first_token) as patience:
                await self._read(request, patience)
        except UpstreamFailed:
            if not self._finished:
                raise
        except TimeoutError:
            if not self._finished:
                raise UpstreamFailed("upstream_timeout") from None
        except (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            if not self._finished:
                raise self._broken(error) from None

    async def _read(self, request: Any, patience: asyncio.Timeout) -> None:
        now = asyncio.get_running_loop().time
        async with request as response, aclosing(response.iter_bytes()) as received:
            self._answered = True
            async for data in received:
                piece = self._chunks.feed(data)
                if not self._pass_on(piece):
                    return
                if piece.chunks or piece.done:
                    patience.reschedule(now() + self._wait_after(piece))
        self._pass_on(self._chunks.close())
        if not self._finished:
            raise UpstreamFailed("upstream_broken", passing=True)

    def _pass_on(self, piece: Piece) -> bool:
        self.delivered = self.delivered or bool(piece.text)
        self._finished = self._finished or piece.done or piece.finish_reason is not None
        if not self._take(piece):
            return False
        if piece.trouble is not None:
            raise piece.trouble
        return True

    def _wait_after(self, piece: Piece) -> float:
        if piece.done:
            return _LAST_BYTES_SECONDS
        return self._limits.after_finish if self._finished else self._limits.between_tokens

    def _broken(self, error: Exception) -> UpstreamFailed:
        # Not HTTP, or not the compression that it says.
        if isinstance(error, aiohttp.ClientResponseError | httpx2.DecodingError):
            return UpstreamFailed("upstream_garbage")
        if self._answered:
            return UpstreamFailed("upstream_broken", passing=True)
        return UpstreamFailed("upstream_unavailable", passing=True)


async def _refuse(response: httpx2.Response) -> None:
    """Before the SDK reads an error's body: it may have any size, and quote what was asked."""
    if not response.is_success:
        retry_after = retry_after_of(response.headers, datetime.now(UTC))
        raise refusal(response.status_code, retry_after)
