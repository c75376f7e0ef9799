"""Longest block of an event loop: how much later than due a task of the same loop ran."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

INTERVAL_SECONDS = 0.001


@dataclass(slots=True)
class Block:
    seconds: float = 0.0


@asynccontextmanager
async def longest_block() -> AsyncIterator[Block]:
    """The longest block while the body of the `async with` ran."""
    block = Block()

    async def watch() -> None:
        while True:
            due = time.perf_counter() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            block.seconds = max(block.seconds, time.perf_counter() - due)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(2 * INTERVAL_SECONDS)
    try:
        yield block
    finally:
        await asyncio.sleep(2 * INTERVAL_SECONDS)
        watching.cancel()
