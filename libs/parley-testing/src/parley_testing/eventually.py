"""Polls a condition until it holds, instead of sleeping for a guessed time."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.01, 0.05


async def eventually(condition: Callable[[], Any], within: float = 30) -> Any:
    """Wait until the condition, sync or async, is true; return its value.

    Raises TimeoutError after `within` seconds.
    """
    pause = MIN_PAUSE_SECONDS
    async with asyncio.timeout(within):
        while True:
            outcome = condition()
            if sends_requests := inspect.isawaitable(outcome):
                outcome = await outcome
            if outcome:
                return outcome
            await asyncio.sleep(pause)
            # Requests are work for the processes that the test waits for.
            if sends_requests:
                pause = min(pause * 1.2, MAX_PAUSE_SECONDS)
