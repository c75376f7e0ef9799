"""Polls a condition until it holds, instead of sleeping for a guessed time."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], within: float = 30) -> Any:
    """Wait until the condition, sync or async, is true; return its value.

    Raises TimeoutError after `within` seconds.
    """
    async with asyncio.timeout(within):
        while not (outcome := await _outcome(condition)):  # noqa: ASYNC110 - polls any condition.
            await asyncio.sleep(0.01)
    return outcome


async def _outcome(condition: Callable[[], Any]) -> Any:
    outcome = condition()
    return await outcome if inspect.isawaitable(outcome) else outcome
