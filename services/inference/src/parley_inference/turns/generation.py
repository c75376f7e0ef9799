"""Generates one reply: streams it from a model into a live turn and determines its outcome."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from parley_contracts.api_models import FinishReason
from parley_events.values import Usage
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.fallback import FallbackRun
from parley_inference.models.model_catalogue import Model
from parley_inference.models.outcome import Completed, Failed, ReplyOutcome, usage_from
from parley_inference.models.provider import Provider
from parley_inference.models.retry_policy import OnFallback
from parley_inference.models.wire.chunk_parser import ParsedChunk, TokenCounts
from parley_inference.session.context_window_cache import Prompt
from parley_inference.streaming.live_turn import LiveTurn


class Generation:
    """One reply by the first of `candidates` that answers; see `FallbackRun`."""

    def __init__(
        self,
        live: LiveTurn,
        candidates: Sequence[Model],
        prompt: Prompt,
        parameters: Mapping[str, Any],
        on_fallback: OnFallback = lambda _, __: None,
    ) -> None:
        self._live, self._candidates = live, candidates
        self._prompt, self._parameters = prompt, parameters
        self._called_model = candidates[0]
        self._answering_model: Model | None = None
        self._finish_reason: FinishReason = "stop"
        self._refused = self._tool_calls = False
        self._tokens: TokenCounts | None = None
        self._started_at = time.monotonic()
        self._first_token_at: float | None = None
        self._run = FallbackRun(candidates, f"turn {live.id}", on_fallback)

    def stop(self, code: FailureCode) -> None:
        """Abort the stream; the reply then fails with `code`."""
        self._run.stop(code)

    async def run(self, provider: Provider) -> ReplyOutcome:
        """Return the outcome; raises nothing but CancelledError."""
        error = await self._stream(provider)
        code = error.code if error is not None else None
        self._live.close_reply()
        content = self._live.reply.since(0)
        total = time.monotonic() - self._started_at
        usage = usage_from(
            self._tokens,
            prompt_tokens=self._prompt.tokens,
            reply_bytes=len(content.encode()),
        )
        model = self._answering_model or self._called_model
        if code is None and not content:
            return self._failed(self._empty_reply_code(), None, usage, model)
        if code is None:
            return Completed(
                content=content,
                finish_reason="refusal" if self._refused else self._finish_reason,
                first_token_ms=round(1000 * (self._first_token_seconds or total)),
                total_ms=round(1000 * total),
                usage=usage,
                price=model.price,
                model=self._fallback_name(model),
            )
        message = error.message if error is not None else None
        if self._answering_model is None:
            return Failed(code, message=message)
        return self._failed(code, content or None, usage, model, message)

    def _failed(
        self,
        code: FailureCode,
        partial: str | None,
        usage: Usage,
        model: Model,
        message: str | None = None,
    ) -> Failed:
        return Failed(code, partial, usage, model.price, self._fallback_name(model), message)

    def _empty_reply_code(self) -> FailureCode:
        """An empty reply is a failure: model servers reject an empty assistant message."""
        if self._tool_calls:
            return "upstream_tool_calls"
        return "upstream_filtered" if self._finish_reason == "content_filter" else "upstream_empty"

    async def _stream(self, provider: Provider) -> UpstreamError | None:
        async def call(model: Model) -> None:
            self._called_model = model
            await provider.stream(
                model, self._prompt.messages, self._live.owner, self._on_chunk, self._parameters
            )

        while True:
            error = await self._run.run(call)
            # An accepted turn does not fail for want of room: it waits on for the model server.
            if error is None or error.code != "upstream_busy":
                return error

    def _on_chunk(self, parsed: ParsedChunk) -> bool:
        if parsed.events and self._answering_model is not self._called_model:
            self._answering_model, self._tokens = self._called_model, None
            self._live.set_model(self._called_model.name, self._called_model.price)
        if parsed.text:
            if self._first_token_at is None:
                self._first_token_at = time.monotonic()
            self._live.append(parsed.text)
        self._refused = self._refused or parsed.refused
        self._tool_calls = self._tool_calls or parsed.tool_calls
        if parsed.finish_reason is not None:
            self._finish_reason = parsed.finish_reason
        if parsed.tokens is not None:
            self._tokens = parsed.tokens
        if self._live.reply.full:
            self._finish_reason = "length"
            self._tokens = None  # The counts so far are not the final ones: estimate instead.
            return False
        return True

    def _fallback_name(self, model: Model) -> str | None:
        return None if model is self._candidates[0] else model.name

    @property
    def _first_token_seconds(self) -> float | None:
        return None if self._first_token_at is None else self._first_token_at - self._started_at
