"""Open-loop load: requests start at a fixed rate, whether or not earlier ones have completed."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def open_load(
    send: Callable[[], Awaitable[None]], *, per_second: int, seconds: int
) -> list[float]:
    """The latency of each request, measured from the time at which it was due."""

    async def request(due: float) -> float:
        await send()
        return time.perf_counter() - due

    started_at = time.perf_counter()
    requests = []
    for number in range(per_second * seconds):
        due = started_at + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        requests.append(asyncio.create_task(request(due)))
    return await asyncio.gather(*requests)
