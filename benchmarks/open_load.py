"""Requests that come when they come, whether or not earlier ones were answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def open_load(
    ask: Callable[[], Awaitable[None]], *, per_second: int, seconds: int
) -> list[float]:
    """The seconds of each, from when it was due: one that had to wait has waited."""

    async def asked(due: float) -> float:
        await ask()
        return time.perf_counter() - due

    began = time.perf_counter()
    asking = []
    for number in range(per_second * seconds):
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asking.append(asyncio.create_task(asked(due)))
    return await asyncio.gather(*asking)
