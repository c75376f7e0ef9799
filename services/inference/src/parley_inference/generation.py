"""One reply in the making: what the model server streams becomes text, and how it ended."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from parley_core.shapes import FinishReason
from parley_core.surprises import log_surprise
from parley_inference.catalogue import Model
from parley_inference.chunks import Piece, Tokens
from parley_inference.context import ChatMessage, Prompt
from parley_inference.ending import Completed, Ending, Failed, usage_of
from parley_inference.failures import FailureCode, UpstreamFailed
from parley_inference.live_turn import LiveTurn
from parley_inference.provider import Take

log = logging.getLogger(__name__)


class Provider(Protocol):
    async def stream(self, model: Model, messages: Sequence[ChatMessage], take: Take) -> None: ...


class Generation:
    """`total_seconds` bounds the whole, from the first attempt on."""

    def __init__(self, live: LiveTurn, model: Model, prompt: Prompt, total_seconds: float) -> None:
        self._live, self._model, self._prompt = live, model, prompt
        self._total_seconds = total_seconds
        self._finish_reason: FinishReason = "stop"
        self._tokens: Tokens | None = None
        self._answered = False
        self._started_at = time.monotonic()
        self._first_token_at: float | None = None
        self._stopped_by: FailureCode | None = None
        self._limit: asyncio.Timeout | None = None

    def stop(self, code: FailureCode) -> None:
        """Break off what still streams; the turn then ends with `code`."""
        if self._stopped_by is None:
            self._stopped_by = code
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time())

    async def make(self, provider: Provider) -> Ending:
        """How the reply ended; never raises but when it is cancelled."""
        failure = self._stopped_by or await self._streamed(provider)
        self._live.close_reply()
        content = self._live.reply.since(0)
        total = time.monotonic() - self._started_at
        usage = usage_of(self._tokens, prompt_bytes=self._prompt.size, content=content)
        if failure is None:
            return Completed(
                content=content,
                finish_reason=self._finish_reason,
                first_token_ms=round(1000 * (self._first_token_seconds or total)),
                total_ms=round(1000 * total),
                usage=usage,
                price=self._model.price,
            )
        charged = usage if self._answered else None
        price = self._model.price if self._answered else None
        return Failed(failure, content or None, charged, price)

    async def _streamed(self, provider: Provider) -> FailureCode | None:
        try:
            async with asyncio.timeout(self._total_seconds) as self._limit:
                await provider.stream(self._model, self._prompt.messages, self._take)
        except UpstreamFailed as failed:
            return self._stopped_by or failed.code
        except TimeoutError:
            return self._stopped_by or "upstream_timeout"
        except Exception as error:
            log_surprise(log, f"turn {self._live.id}", error)
            return self._stopped_by or "internal"
        finally:
            self._limit = None
        return self._stopped_by

    def _take(self, piece: Piece) -> bool:
        self._answered = self._answered or piece.chunks > 0
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

    @property
    def _first_token_seconds(self) -> float | None:
        return None if self._first_token_at is None else self._first_token_at - self._started_at
