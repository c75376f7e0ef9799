"""A streamed completion: relays the model server's events to the client."""

import asyncio
from collections.abc import Sequence

import msgspec

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_core.http.errors import error_body
from parley_inference.completions.completion import ClientDisconnected, Completion
from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.event_rewriter import CompletionChunkParser
from parley_inference.completions.request import CompletionRequest
from parley_inference.models.model_catalogue import Model
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.models.wire.chunk_parser import ParsedChunk

# Time for a client to accept more; a stalled one occupies a request slot of the model server.
CLIENT_TIMEOUT_SECONDS = 30

_DONE = b"data: [DONE]\n\n"
_HEADERS = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]


class StreamedCompletion(Completion):
    """Sends nothing before the first text: until then a fallback model can answer.

    Back-pressure from the client pauses the model server.
    """

    def __init__(
        self,
        request: CompletionRequest,
        candidates: Sequence[Model],
        provider: OpenAIProvider,
        principal: Principal,
    ) -> None:
        super().__init__(request, candidates, provider, principal)
        self._events: list[bytes] = []
        self._any_text = self._response_started = False

    async def _complete(self, model: Model) -> None:
        def new_parser() -> CompletionChunkParser:
            self._events.clear()
            return CompletionChunkParser(
                self._events,
                identity=self._identity(model),
                choices=self._request.choices,
                with_usage=self._request.with_usage,
            )

        def on_chunk(parsed: ParsedChunk) -> bool:
            if parsed.events:
                self._answering_model = model
            self._any_text = self._any_text or bool(parsed.text)
            self._reply_bytes += len(parsed.text.encode(errors="replace"))
            self._tokens = parsed.tokens or self._tokens
            return True

        async def forward() -> None:
            if self._any_text and self._events:
                await self._send_events(more=True)

        body = self._request.upstream_body(model)
        await self._provider.stream_raw(model, body, self._person, new_parser, on_chunk, forward)

    async def _send_end(self) -> None:
        self._events.append(_DONE)
        await self._send_events(more=False)

    async def _send_error(self, error: UpstreamErrorResponse) -> None:
        if not self._response_started:
            raise error
        body = error_body(error.message, type=error.type, code=error.code, param=error.param)
        self._events.append(b"data: %b\n\n" % msgspec.json.encode(body))
        await self._send_events(more=False)

    async def _send_events(self, *, more: bool) -> None:
        events = b"".join(self._events)
        self._events.clear()
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_SECONDS):
                if not self._response_started:
                    self._response_started = True
                    await self._send(
                        {"type": "http.response.start", "status": 200, "headers": [*_HEADERS]}
                    )
                await self._send({"type": "http.response.body", "body": events, "more_body": more})
        except (TimeoutError, OSError):
            raise ClientDisconnected from None
