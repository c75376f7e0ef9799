"""One reply in the making: what the model server streams becomes text, and how it ended."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from parley_core.shapes import FinishReason
from parley_core.surprises import log_surprise
from parley_inference.attempt import Take
from parley_inference.catalogue import Model
from parley_inference.chunks import Piece, Tokens
from parley_inference.context import ChatMessage, Prompt
from parley_inference.ending import Completed, Ending, Failed, usage_of
from parley_inference.failures import FailureCode, UpstreamFailed
from parley_inference.live_turn import LiveTurn
from parley_inference.retrying import ask_in_line

log = logging.getLogger(__name__)


class Provider(Protocol):
    async def stream(self, model: Model, messages: Sequence[ChatMessage], take: Take) -> None: ...


class Generation:
    """Asks the first model in `line`, and the next where one does not begin to answer.

    The first one's time for a reply bounds the whole.
    """

    def __init__(self, live: LiveTurn, line: Sequence[Model], prompt: Prompt) -> None:
        self._live, self._line, self._prompt = live, line, prompt
        self._asked = line[0]
        self._answered_by: Model | None = None
        self._finish_reason: FinishReason = "stop"
        self._tokens: Tokens | None = None
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
        usage = usage_of(
            self._tokens,
            prompt_tokens=self._prompt.tokens,
            reply_bytes=len(content.encode()),
        )
        if failure is None:
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
            return Failed(failure)
        model = self._answered_by
        return Failed(failure, content or None, usage, model.price, self._name_of(model))

    async def _streamed(self, provider: Provider) -> FailureCode | None:
        async def ask(model: Model) -> None:
            self._asked = model
            await provider.stream(model, self._prompt.messages, self._take)

        try:
            async with asyncio.timeout(self._line[0].limits.total) as self._limit:
                await ask_in_line(self._line, ask)
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
