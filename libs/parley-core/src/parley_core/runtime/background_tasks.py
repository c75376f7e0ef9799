"""Background tasks that live as long as a block of code."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from parley_core.runtime.backoff import backoff_delay
from parley_core.runtime.safe_logging import log_unexpected_error

log = logging.getLogger(__name__)

# At most, until a loop that failed runs again: long enough not to fill the log.
RESTART_SECONDS = 1.0


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log_unexpected_error(log, "a background task failed", error)


@asynccontextmanager
async def background_tasks(
    *coroutines: Coroutine[Any, Any, None],
    on_end: Callable[[asyncio.Task[None]], None] = _log_failure,
) -> AsyncIterator[None]:
    """Run the coroutines as tasks; at the end of the block, cancel them and wait for their end.

    `on_end` is called with each task that ends; by default it logs a failure.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(on_end)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def background_loops(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run the loops within the block; one that fails is logged and starts again.

    A loop that ends without an error stays ended.
    """
    async with background_tasks(*(_restart_on_error(loop) for loop in loops)):
        yield


async def _restart_on_error(loop: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await loop()
        except Exception as error:
            log_unexpected_error(log, "a background loop failed and starts again", error)
            await asyncio.sleep(backoff_delay(1, RESTART_SECONDS, RESTART_SECONDS))
        else:
            return
