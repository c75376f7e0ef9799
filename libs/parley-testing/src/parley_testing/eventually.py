"""Waiting for what others do, without guessing how long they take."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], within: float = 10) -> Any:
    """Waits until a condition, or what it awaits, holds; answers what it gave.

    Raises TimeoutError after `within` seconds.
    """
    async with asyncio.timeout(within):
        while not (outcome := await _outcome(condition)):  # noqa: ASYNC110 - any condition.
            await asyncio.sleep(0.01)
    return outcome


async def _outcome(condition: Callable[[], Any]) -> Any:
    outcome = condition()
    return await outcome if inspect.isawaitable(outcome) else outcome
