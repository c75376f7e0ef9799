"""Waiting for what others do, without guessing how long they take."""

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], within: float = 10) -> None:
    """Return once the condition holds; TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - any condition.
            await asyncio.sleep(0.01)
