"""Asking again: the same model server after a pause, and then the model that stands in for it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import Model

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all; the pause after the first one, and the longest, are in seconds."""

    attempts: int
    first_pause: float
    longest_pause: float


async def persist(ask: Callable[[], Awaitable[Answer]], retries: RetryPolicy) -> Answer:
    """Ask until there is an answer, while nothing of one was given out. Raises UpstreamError."""
    for number in range(1, retries.attempts):
        try:
            return await ask()
        except UpstreamError as failed:
            if failed.begun or not failed.passing:
                raise
            pause = backoff_delay(
                number,
                failed.retry_after,
                first=retries.first_pause,
                most=retries.longest_pause,
                jitter=random.random(),  # noqa: S311 - it spreads load, nothing more.
            )
        await asyncio.sleep(pause)
    return await ask()


async def try_fallbacks(line: Sequence[Model], ask: Callable[[Model], Awaitable[Answer]]) -> Answer:
    """Ask one model after the other, until one has begun to answer. Raises UpstreamError."""
    *others, last = line
    for model in others:
        try:
            return await ask(model)
        except UpstreamError as failed:
            if failed.begun:
                raise
    return await ask(last)


def backoff_delay(
    attempt: int, retry_after: float | None, *, first: float, most: float, jitter: float
) -> float:
    """Seconds before the attempt after number `attempt`; `jitter` is from 0 up to 1.

    What the server asked for, or else double the last pause, spread over its upper half; never
    over `most`.
    """
    if retry_after is not None:
        return min(retry_after, most)
    pause: float = min(first * 2 ** (attempt - 1), most)
    return pause * (1 + jitter) / 2


def retry_after_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer asks to wait.

    Sources: RFC 9110, section 10.2.3 (seconds or a date), and OpenAI's own `retry-after-ms`.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after", "")
    seconds = _number(asked)
    if seconds is not None or not asked:
        return seconds
    try:
        date = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
