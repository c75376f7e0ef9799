"""Where much is computed at once: in a thread, so that all others are answered meanwhile."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# So few messages, of 256 KiB at most, are done before others would notice.
_FEW = 8


async def run_in_thread_if_large(messages: int, work: Callable[[], Result]) -> Result:
    """What `work` makes of so many messages; it may change nothing that others see."""
    return await asyncio.to_thread(work) if messages > _FEW else work()
