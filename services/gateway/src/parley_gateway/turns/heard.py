"""What inference sends of a turn. While it sends nothing, session is asked whether that is over: of
a process that is stuck nothing else is heard.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp

Attach = AbstractAsyncContextManager[aiohttp.StreamReader]


async def heard(
    attach: Attach,
    handed_over: asyncio.Event,
    *,
    within: float,
    quiet: float,
    again: float,
    is_over: Callable[[], Awaitable[bool]],
) -> AsyncGenerator[bytes, None]:
    """Pieces as they come, until inference ends them or the turn is over.

    Asks after `quiet` seconds without one, and then every `again` seconds. Raises TimeoutError when
    inference does not take the turn `within` seconds, and whatever breaks the stream.
    """
    async with AsyncExitStack() as attached:
        async with asyncio.timeout(within):
            upstream = await attached.enter_async_context(attach)
        handed_over.set()
        while received := await _next(upstream, quiet, again, is_over):
            yield received


async def _next(
    upstream: aiohttp.StreamReader,
    quiet: float,
    again: float,
    is_over: Callable[[], Awaitable[bool]],
) -> bytes:
    within = quiet
    while True:
        try:
            async with asyncio.timeout(within) as patience:
                return await upstream.readany()
        except TimeoutError:
            if not patience.expired():
                raise  # It was silent for so long that it is taken for dead.
        if await is_over():
            return b""
        within = again
