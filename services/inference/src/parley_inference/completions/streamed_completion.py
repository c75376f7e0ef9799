"""A completion whose answer is the stream of the model server's own events."""

import asyncio
from collections.abc import Sequence

import msgspec

from parley_contracts import turn_sse as sse
from parley_core.http.errors import error_body
from parley_inference.completions.completion import ClientDisconnected, Completion
from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.event_rewriter import CompletionChunkParser
from parley_inference.completions.request import CompletionRequest
from parley_inference.models.model_catalogue import Model
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.models.wire.chunk_parser import ParsedChunk

_DONE = b"data: [DONE]\n\n"
_HEADERS = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]


class StreamedCompletion(Completion):
    """Sends nothing before something is said: until then another model can be asked.

    While its client takes nothing, the model server waits; after `client_seconds` it is cut off.
    """

    def __init__(
        self,
        request: CompletionRequest,
        line: Sequence[Model],
        provider: OpenAIProvider,
        *,
        event_bytes: int,
        client_seconds: float,
    ) -> None:
        super().__init__(request, line, provider)
        self._event_bytes, self._client_seconds = event_bytes, client_seconds
        self._events: list[bytes] = []
        self._begun = self._started = False

    async def _ask(self, model: Model) -> None:
        def new_reader() -> CompletionChunkParser:
            self._events.clear()
            return CompletionChunkParser(
                self._event_bytes,
                self._events,
                identity=self._identity(model),
                choices=self._request.choices,
                with_usage=self._request.with_usage,
            )

        def take(piece: ParsedChunk) -> bool:
            if piece.chunks:
                self._answered_by = model
            self._begun = self._begun or bool(piece.text)
            self._reply_bytes += len(piece.text.encode(errors="replace"))
            self._tokens = piece.tokens or self._tokens
            return True

        async def pass_on() -> None:
            if self._begun and self._events:
                await self._send_events(more=True)

        body = self._request.for_server(model)
        await self._provider.relay(model, body, new_reader, take, pass_on)

    async def _finish(self) -> None:
        self._events.append(_DONE)
        await self._send_events(more=False)

    async def _fail(self, error: UpstreamErrorResponse) -> None:
        if not self._started:
            raise error
        body = error_body(error.message, type=error.type, code=error.code)
        self._events.append(b"data: %b\n\n" % msgspec.json.encode(body))
        await self._send_events(more=False)

    async def _send_events(self, *, more: bool) -> None:
        events = b"".join(self._events)
        self._events.clear()
        try:
            async with asyncio.timeout(self._client_seconds):
                if not self._started:
                    self._started = True
                    await self._send(
                        {"type": "http.response.start", "status": 200, "headers": [*_HEADERS]}
                    )
                await self._send({"type": "http.response.body", "body": events, "more_body": more})
        except (TimeoutError, OSError):
            raise ClientDisconnected from None
