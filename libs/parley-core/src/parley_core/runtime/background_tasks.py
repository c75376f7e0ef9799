"""Background tasks that live as long as a block of code."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def background_tasks(
    *coroutines: Coroutine[Any, Any, None],
) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
    """Run the coroutines as tasks; at the end of the block, cancel them and wait for their end."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
