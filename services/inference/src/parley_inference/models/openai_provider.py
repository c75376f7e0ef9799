"""Replies of OpenAI-compatible model servers, through the `openai` package over aiohttp.

Raw bytes, not typed chunks: building the SDK's models costs two hundred times the decoding.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast

import httpx2
import msgspec
import openai

from parley_inference.models.circuit_breaker import CircuitBreaker
from parley_inference.models.failures import refusal
from parley_inference.models.model_catalogue import Model
from parley_inference.models.model_server import ModelServer
from parley_inference.models.retry_policy import RetryPolicy, persist, retry_after_of
from parley_inference.models.wire.chunk_parser import ChunkParser
from parley_inference.models.wire.stream_attempt import (
    PassOn,
    Reader,
    StreamAttempt,
    Take,
    read_whole,
)
from parley_inference.session.context_window_cache import ChatMessage

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Seconds, bytes and counts that hold for every server; see the settings of the same names."""

    retries: RetryPolicy
    failures: int
    open_seconds: float
    after_finish: float
    event_bytes: int
    answer_bytes: int


class OpenAIProvider:
    """Each raises UpstreamError, and asks again while nothing of a reply was given out."""

    def __init__(self, models: Iterable[Model], limits: UpstreamLimits) -> None:
        self._limits = limits
        self.servers = {
            url: ModelServer(url, server, CircuitBreaker(limits.failures, limits.open_seconds))
            for url, server in {model.base_url: model.limits for model in models}.items()
        }
        self._clients: dict[tuple[str, str | None], openai.AsyncOpenAI] = {}
        self._http = openai.DefaultAioHttpClient(
            timeout=None,
            # Each server's room is what bounds them.
            limits=httpx2.Limits(max_connections=0),
            event_hooks={"response": [_refuse]},
        )

    async def stream(self, model: Model, messages: Sequence[ChatMessage], take: Take) -> None:
        """Give `take` what the model server streams, until the reply has ended."""
        asked: dict[str, object] = {
            "model": model.upstream_name,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if model.reply_tokens is not None:
            asked["max_completion_tokens"] = model.reply_tokens
        body = msgspec.json.encode(asked)
        await self.relay(model, body, lambda: ChunkParser(self._limits.event_bytes), take)

    async def relay(
        self,
        model: Model,
        body: bytes,
        new_reader: Callable[[], Reader],
        take: Take,
        pass_on: PassOn | None = None,
    ) -> None:
        """As `stream`, for a request that is written already; each attempt gets a reader."""

        async def attempt() -> None:
            made = StreamAttempt(
                new_reader(),
                take,
                model.limits,
                after_finish=self._limits.after_finish,
                began=self.servers[model.base_url].began,
                pass_on=pass_on,
            )
            await made.run(self._request(model, body))

        await self._persist(model, attempt)

    async def whole(
        self,
        model: Model,
        body: bytes,
        read: Callable[[bytes], Answer],
        asked: Callable[[], None],
    ) -> Answer:
        """What `read` makes of the answer to a request that asks for no stream.

        `asked` is called once there is room for the request.
        """

        async def attempt() -> Answer:
            asked()
            return read(await read_whole(self._request(model, body), self._limits.answer_bytes))

        return await self._persist(model, attempt)

    async def close(self) -> None:
        await self._http.aclose()

    async def _persist(self, model: Model, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        server = self.servers[model.base_url]

        async def within_room() -> Answer:
            async with server.request():
                return await attempt()

        return await persist(within_room, self._limits.retries)

    @asynccontextmanager
    async def _request(self, model: Model, body: bytes) -> AsyncIterator[httpx2.Response]:
        answer = await self._client(model).post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=body,
            options={"headers": {"Authorization": openai.Omit()}} if model.key is None else {},
            stream=True,  # The raw response is given before its body has come.
            stream_cls=openai.AsyncStream[object],
        )
        response = cast(httpx2.Response, answer)
        async with aclosing(response):
            yield response

    def _client(self, model: Model) -> openai.AsyncOpenAI:
        place = (model.base_url, model.key)
        if place not in self._clients:
            self._clients[place] = openai.AsyncOpenAI(
                base_url=model.base_url,
                api_key=model.key or "none",
                max_retries=0,
                http_client=self._http,
                timeout=httpx2.Timeout(None, connect=model.limits.connect),
                # Compressed, a stream's tokens would arrive in bursts.
                default_headers={"accept-encoding": "identity"},
            )
        return self._clients[place]


async def _refuse(response: httpx2.Response) -> None:
    """Before the SDK reads an error's body: it may have any size, and quote what was asked."""
    if not response.is_success:
        retry_after = retry_after_of(response.headers, datetime.now(UTC))
        raise refusal(response.status_code, retry_after)
