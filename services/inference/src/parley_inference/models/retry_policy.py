"""Retries against one model server with exponential backoff, and fallback to other models."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import TypeVar

from parley_core.runtime.backoff import backoff_delay
from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import Model

Result = TypeVar("Result")
OnFallback = Callable[[Model, Model], None]
"""Called with the model that failed, and the one that is called in its place."""

INITIAL_DELAY_SECONDS = 0.25
# Also bounds `retry-after`: a client waits for the reply, and a fallback may answer sooner.
MAX_DELAY_SECONDS = 10.0


async def retry(
    attempt: Callable[[], Awaitable[Result]],
    max_attempts: int,
    on_retry: Callable[[], None] = lambda: None,
) -> Result:
    """Retry transient failures until part of a reply was sent. Raises UpstreamError."""
    number, was_asked = 1, False
    while True:
        try:
            return await attempt()
        except UpstreamError as error:
            was_asked = error.was_asked = was_asked or error.was_asked
            if error.partially_sent or not error.transient or number == max_attempts:
                raise
            delay = _delay(number, error.retry_after)
        await asyncio.sleep(delay)
        on_retry()
        number += 1


async def try_fallbacks(
    candidates: Sequence[Model],
    call: Callable[[Model], Awaitable[Result]],
    on_fallback: OnFallback = lambda _, __: None,
) -> Result:
    """Call one model after the other until one has sent part of a reply. Raises UpstreamError."""
    was_asked = False
    for model, fallback in pairwise(candidates):
        try:
            return await call(model)
        except UpstreamError as error:
            was_asked = was_asked or error.was_asked
            if error.partially_sent:
                raise
        on_fallback(model, fallback)
    try:
        return await call(candidates[-1])
    except UpstreamError as error:
        error.was_asked = was_asked or error.was_asked
        raise


def _delay(attempt: int, retry_after: float | None) -> float:
    """Prefer the server's own `retry_after`, in seconds, to exponential backoff."""
    if retry_after is not None:
        return min(retry_after, MAX_DELAY_SECONDS)
    return backoff_delay(attempt, INITIAL_DELAY_SECONDS, MAX_DELAY_SECONDS)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait according to a response's headers, or None.

    Sources: RFC 9110, section 10.2.3 (seconds or a date), and OpenAI's own `retry-after-ms`.
    """
    milliseconds = _non_negative(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _non_negative(value)
    if seconds is not None or not value:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _non_negative(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
