"""Runs CPU-heavy work in a thread, so that it does not block the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# Up to this many messages, of 256 KiB at most each, take too little time to delay other requests.
_INLINE_MESSAGES = 8


# Decrypting, parsing and encoding as much text takes under 10 ms.
_INLINE_BYTES = 2 * 1024 * 1024


async def run_in_thread_if_long(size_bytes: int, work: Callable[[], Result]) -> Result:
    """Like `run_in_thread_if_large`, for work over so many bytes of text."""
    return await asyncio.to_thread(work) if size_bytes > _INLINE_BYTES else work()


async def run_in_thread_if_large(messages: int, work: Callable[[], Result]) -> Result:
    """Return the result of `work` over so many messages; it must not change shared state."""
    return await asyncio.to_thread(work) if messages > _INLINE_MESSAGES else work()
