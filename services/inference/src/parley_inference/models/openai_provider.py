"""Client of OpenAI-compatible model servers, through the `openai` package over aiohttp.

Responses are read as raw bytes: building the SDK's models costs two hundred times the decoding.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, TypeVar, cast

import httpx2
import msgspec
import openai
from pydantic import Field

from parley_core.tracing.spans import Span
from parley_inference.models.chat_span import chat_span, record_chunks, record_response
from parley_inference.models.failures import UpstreamError, error_for
from parley_inference.models.model_catalogue import Model, ServerLimits
from parley_inference.models.model_server import ModelServer
from parley_inference.models.retry_policy import parse_retry_after, retry
from parley_inference.models.server_circuit import Person, ServerCircuit
from parley_inference.models.server_error import MAX_BODY_BYTES, parse_server_error
from parley_inference.models.wire.chat_message import ChatMessage
from parley_inference.models.wire.chunk_parser import ChunkParser
from parley_inference.models.wire.stream_attempt import (
    TRANSPORT_ERRORS,
    Forward,
    OnChunk,
    StreamAttempt,
    read_body,
)

Result = TypeVar("Result")


# Time until the trial request; meanwhile requests fail at once or go to a fallback.
CIRCUIT_OPEN_SECONDS = 5
MAX_RESPONSE_BYTES = 8 * 1024 * 1024
"""Maximum size of a response that is not streamed."""
# The body of an error normally comes with its head; the status says enough without it.
_ERROR_BODY_SECONDS = 1
# A shorter one is no secret, and may be a word of the error: `none`.
_MIN_KEY_LENGTH = 8


class UpstreamSettings(ServerLimits):
    """Default limits of model servers, and their retries and circuit breaker."""

    max_attempts: int = Field(
        default=3, ge=1, le=10, description="how often a request is tried, from 1 to 10"
    )
    circuit_failure_threshold: int = Field(
        default=10,
        ge=2,
        le=1_000,
        description="how many failures in a row open the circuit of a server, from 2 to 1000",
    )


class OpenAIProvider:
    """Every call raises UpstreamError, and is retried until part of the reply was delivered.

    The circuit breaker of a server counts failures by the person for whom a call is made.
    """

    def __init__(self, models: Iterable[Model], settings: UpstreamSettings) -> None:
        self._settings = settings
        self._max_attempts = settings.max_attempts
        self.observe_first_text: Callable[[str, float], None] = lambda _, __: None
        self.servers: dict[str, ModelServer] = {}
        self.use(models)
        self._clients: dict[tuple[str, str | None, float], openai.AsyncOpenAI] = {}
        self._http = openai.DefaultAioHttpClient(
            verify=_trusted_authorities(),
            timeout=None,
            # The concurrency limit of each server bounds the connections.
            limits=httpx2.Limits(max_connections=0),
            event_hooks={"response": [_raise_for_status]},
        )

    def use(self, models: Iterable[Model]) -> None:
        """Have the servers of these models, too. A server with other limits starts afresh."""
        for url, limits in {model.base_url: model.limits for model in models}.items():
            known = self.servers.get(url)
            if known is None or known.limits != limits:
                circuit = ServerCircuit(
                    self._settings.circuit_failure_threshold, CIRCUIT_OPEN_SECONDS
                )
                self.servers[url] = ModelServer(url, limits, circuit)
                self.servers[url].on_first_text = partial(
                    self._first_text_received, self.servers[url].name
                )

    def _first_text_received(self, server: str, seconds: float) -> None:
        self.observe_first_text(server, seconds)

    async def stream(
        self,
        model: Model,
        messages: Sequence[ChatMessage],
        person: Person,
        on_chunk: OnChunk,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Stream a reply to `on_chunk` until it ends; `parameters` are those of the person."""
        request = {
            **model.limited(parameters or {}),
            "model": model.upstream_name,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        body = msgspec.json.encode(request)
        await self.stream_raw(model, body, person, ChunkParser, on_chunk)

    async def stream_raw(
        self,
        model: Model,
        body: bytes,
        person: Person,
        new_parser: Callable[[], ChunkParser],
        on_chunk: OnChunk,
        forward: Forward | None = None,
    ) -> None:
        """As `stream`, for an encoded request body; each attempt gets a new parser."""

        server = self.servers[model.base_url]
        with chat_span(model) as chat:
            handle = record_chunks(on_chunk, chat)

            async def attempt() -> None:
                stream = StreamAttempt(
                    new_parser(),
                    handle,
                    model.limits,
                    on_first_text=partial(server.record_first_text, person),
                    forward=forward,
                )
                await stream.run(self._request(model, body))

            await self._retry(model, person, attempt, chat)

    async def complete(
        self,
        model: Model,
        body: bytes,
        person: Person,
        parse: Callable[[bytes], Result],
        on_sent: Callable[[], None],
    ) -> Result:
        """Return the parsed body of a response that is not streamed.

        `on_sent` is called once the request holds a slot and is about to be sent.
        """

        with chat_span(model) as chat:

            async def attempt() -> Result:
                on_sent()
                response = await read_body(self._request(model, body), MAX_RESPONSE_BYTES)
                record_response(chat, response)
                return parse(response)

            return await self._retry(model, person, attempt, chat)

    async def close(self) -> None:
        await self._http.aclose()

    async def _retry(
        self, model: Model, person: Person, attempt: Callable[[], Awaitable[Result]], chat: Span
    ) -> Result:
        server = self.servers[model.base_url]

        async def attempt_with_slot() -> Result:
            async with server.request(person):
                return await attempt()

        try:
            return await retry(attempt_with_slot, self._max_attempts, server.count_retry)
        except UpstreamError as error:
            chat.fail(error.code)
            raise

    @asynccontextmanager
    async def _request(self, model: Model, body: bytes) -> AsyncIterator[httpx2.Response]:
        response = cast(
            httpx2.Response,
            await self._client(model).post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=body,
                options={"headers": {"Authorization": openai.Omit()}} if model.key is None else {},
                stream=True,  # Returns the raw response before its body has arrived.
                stream_cls=openai.AsyncStream[object],
            ),
        )
        async with aclosing(response):
            yield response

    def _client(self, model: Model) -> openai.AsyncOpenAI:
        connect_seconds = model.limits.connect_seconds
        key = (model.base_url, model.key, connect_seconds)
        if key not in self._clients:
            self._clients[key] = openai.AsyncOpenAI(
                base_url=model.base_url,
                api_key=model.key or "none",
                max_retries=0,
                http_client=self._http,
                timeout=httpx2.Timeout(None, connect=connect_seconds),
                # Compressed, a stream's tokens would arrive in bursts.
                default_headers={"accept-encoding": "identity"},
            )
        return self._clients[key]


@cache
def _trusted_authorities() -> ssl.SSLContext:
    """Those of the machine, read once in a process: that takes 20 ms."""
    return httpx2.create_ssl_context()


async def _raise_for_status(response: httpx2.Response) -> None:
    """Raise before the SDK reads an error's body, which may have any size."""
    if not response.is_success:
        retry_after = parse_retry_after(response.headers, datetime.now(UTC))
        answer = parse_server_error(response.status_code, await _error_body(response))
        raise error_for(answer, retry_after)


async def _error_body(response: httpx2.Response) -> bytes:
    """The body as far as it arrives in time, without the API key, which some servers repeat."""
    body = bytearray()
    with suppress(TimeoutError, *TRANSPORT_ERRORS):
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            async for received in response.aiter_bytes():
                body += received
                if len(body) >= MAX_BODY_BYTES:
                    break
    key = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    read = bytes(body[:MAX_BODY_BYTES])
    return read.replace(key.encode(), b"[key]") if len(key) >= _MIN_KEY_LENGTH else read
