"""One reply in the making: what the model server streams becomes text, and how it ended."""

import time
from collections.abc import Sequence
from typing import Protocol

from parley_contracts.api_models import FinishReason
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.fallback import FallbackRun
from parley_inference.models.model_catalogue import Model
from parley_inference.models.outcome import Completed, Ending, Failed, usage_of
from parley_inference.models.wire.chunk_parser import ParsedChunk, TokenCounts
from parley_inference.models.wire.stream_attempt import Take
from parley_inference.session.context_window_cache import ChatMessage, Prompt
from parley_inference.streaming.live_turn import LiveTurn


class Provider(Protocol):
    async def stream(self, model: Model, messages: Sequence[ChatMessage], take: Take) -> None: ...


class Generation:
    """One reply of the models in `line`; see `FallbackRun`."""

    def __init__(self, live: LiveTurn, line: Sequence[Model], prompt: Prompt) -> None:
        self._live, self._line, self._prompt = live, line, prompt
        self._asked = line[0]
        self._answered_by: Model | None = None
        self._finish_reason: FinishReason = "stop"
        self._tokens: TokenCounts | None = None
        self._started_at = time.monotonic()
        self._first_token_at: float | None = None
        self._making = FallbackRun(line, f"turn {live.id}")

    def stop(self, code: FailureCode) -> None:
        """Break off what still streams; the turn then ends with `code`."""
        self._making.stop(code)

    async def make(self, provider: Provider) -> Ending:
        """How the reply ended; never raises but when it is cancelled."""
        failed = await self._streamed(provider)
        self._live.close_reply()
        content = self._live.reply.since(0)
        total = time.monotonic() - self._started_at
        usage = usage_of(
            self._tokens,
            prompt_tokens=self._prompt.tokens,
            reply_bytes=len(content.encode()),
        )
        if failed is None:
            model = self._answered_by or self._asked
            return Completed(
                content=content,
                finish_reason=self._finish_reason,
                first_token_ms=round(1000 * (self._first_token_seconds or total)),
                total_ms=round(1000 * total),
                usage=usage,
                price=model.price,
                model=self._name_of(model),
            )
        if self._answered_by is None:
            return Failed(failed.code)
        model = self._answered_by
        return Failed(failed.code, content or None, usage, model.price, self._name_of(model))

    async def _streamed(self, provider: Provider) -> UpstreamError | None:
        async def ask(model: Model) -> None:
            self._asked = model
            await provider.stream(model, self._prompt.messages, self._take)

        return await self._making.run(ask)

    def _take(self, piece: ParsedChunk) -> bool:
        if piece.chunks and self._answered_by is not self._asked:
            self._answered_by, self._tokens = self._asked, None
            self._live.answered_by(self._asked.name, self._asked.price)
        if piece.text:
            if self._first_token_at is None:
                self._first_token_at = time.monotonic()
            self._live.append(piece.text)
        if piece.finish_reason is not None:
            self._finish_reason = piece.finish_reason
        if piece.tokens is not None:
            self._tokens = piece.tokens
        if self._live.reply.full:
            self._finish_reason = "length"
            self._tokens = None  # What the server counted until now is not what it will count.
            return False
        return True

    def _name_of(self, model: Model) -> str | None:
        return None if model is self._line[0] else model.name

    @property
    def _first_token_seconds(self) -> float | None:
        return None if self._first_token_at is None else self._first_token_at - self._started_at
