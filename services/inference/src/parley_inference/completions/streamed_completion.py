"""A streamed completion: relays the model server's events to the client."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from starlette.types import Send

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_core.http.errors import error_body
from parley_core.runtime.background_tasks import background_tasks
from parley_inference.completions.completion import Completion
from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.event_rewriter import CompletionChunkParser, without_role
from parley_inference.completions.request import CompletionRequest
from parley_inference.models.model_catalogue import Model
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.models.retry_policy import OnFallback
from parley_inference.models.wire.chunk_parser import ParsedChunk
from parley_inference.models.wire.stream_attempt import ClientDisconnected

# Until then, a failure is an HTTP status. Most model servers refuse a request within a second; a
# client that waits for a slow model needs the head of the response, or gives up (ADR 28).
START_AFTER_SECONDS = 2.0
# Time for a client to accept more; a stalled one occupies a request slot of the model server.
CLIENT_TIMEOUT_SECONDS = 30

_DONE = b"data: [DONE]\n\n"
_HEADERS = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]


class StreamedCompletion(Completion):
    """Sends nothing of a model before its first text: until then a fallback model can answer.

    The response starts with that text, or after START_AFTER_SECONDS with the role alone.
    Back-pressure from the client pauses the model server.
    """

    def __init__(
        self,
        request: CompletionRequest,
        candidates: Sequence[Model],
        provider: OpenAIProvider,
        principal: Principal,
        on_fallback: OnFallback,
    ) -> None:
        super().__init__(request, candidates, provider, principal, on_fallback)
        self._chunks: list[bytes] = []
        self._any_text = self._response_started = self._role_sent = False
        self._sending = asyncio.Lock()

    async def respond(self, send: Send) -> None:
        self._send = send
        async with background_tasks(self._start_without_text()):
            await super().respond(send)

    async def _start_without_text(self) -> None:
        await asyncio.sleep(START_AFTER_SECONDS)
        async with self._sending:
            if not self._response_started:
                self._role_sent = True
                # The response itself ends when it writes to a client that has disconnected.
                with suppress(ClientDisconnected):
                    await self._write(b"".join(map(sse.event, self._role_chunks())), more=True)

    def _role_chunks(self) -> list[bytes]:
        """One chunk per choice, as model servers send them; the model is the requested one."""
        chunk = {
            "id": f"chatcmpl-{self.id.hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self._request.model,
        }
        usage = {"usage": None} if self._request.with_usage else {}
        delta = {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return [
            msgspec.json.encode(chunk | {"choices": [{"index": index} | delta]} | usage)
            for index in range(self._request.choices)
        ]

    async def _complete(self, model: Model) -> None:
        def new_parser() -> CompletionChunkParser:
            self._chunks.clear()
            return CompletionChunkParser(
                self._chunks,
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
            if self._any_text and self._chunks:
                await self._send_chunks()

        body = self._request.upstream_body(model)
        await self._provider.stream_raw(model, body, self._person, new_parser, on_chunk, forward)

    async def _send_end(self) -> None:
        await self._send_chunks(last=_DONE)

    async def _send_error(self, error: UpstreamErrorResponse) -> None:
        async with self._sending:
            if not self._response_started:
                raise error
        body = error_body(error.message, type=error.type, code=error.code, param=error.param)
        if not self._any_text:
            self._chunks.clear()  # Of a model that failed.
        await self._send_chunks(last=sse.event(msgspec.json.encode(body)))

    async def _send_chunks(self, *, last: bytes = b"") -> None:
        """`last` ends the response."""
        async with self._sending:
            chunks = map(without_role, self._chunks) if self._role_sent else self._chunks
            events = b"".join(map(sse.event, chunks)) + last
            self._chunks.clear()
            await self._write(events, more=not last)

    async def _write(self, events: bytes, *, more: bool) -> None:
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
