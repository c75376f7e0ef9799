"""Flood of one person in a process of its own: many clients submit messages and list sessions.

    python -m benchmarks.load.turn_flood URL TOKEN

runs until SIGTERM, and prints its answers by status, as JSON.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import randint, uniform

import aiohttp

TURN_WORKERS, LIST_WORKERS = 500, 20
TOKENS = (50, 150)


@asynccontextmanager
async def turn_flood(url: str, token: str) -> AsyncIterator[Counter[str]]:
    """The answers by status, filled in at the end of the block."""
    answers: Counter[str] = Counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load.turn_flood", url, token),
        stdout=asyncio.subprocess.PIPE,
        # Its work would be that of other machines: it must not take the cores from the services.
        preexec_fn=lambda: os.nice(10),
    )
    try:
        yield answers
    finally:
        process.terminate()
        output, _ = await process.communicate()
        answers.update(json.loads(output))


class _Flood:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self.answers: Counter[int] = Counter()

    async def repeat_turns(self) -> None:
        while (session := await self._start_session()) is None:
            pass
        path = f"/v1/sessions/{session}/messages"
        while True:
            body = {"content": f"[tokens {randint(*TOKENS)}]", "stream": True}
            async with self._http.post(path, json=body) as response:
                if await self._is_admitted(response):
                    await response.read()

    async def repeat_lists(self) -> None:
        while True:
            async with self._http.get("/v1/sessions?limit=100") as response:
                if await self._is_admitted(response):
                    await response.read()
            await asyncio.sleep(uniform(0.5, 1.5))

    async def _start_session(self) -> str | None:
        async with self._http.post("/v1/sessions", json={}) as response:
            return (await response.json())["id"] if await self._is_admitted(response) else None

    async def _is_admitted(self, response: aiohttp.ClientResponse) -> bool:
        self.answers[response.status] += 1
        if response.status < 400:
            return True
        await asyncio.sleep(_retry_after(response))
        return False


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """As OpenAI's SDKs wait."""
    if milliseconds := response.headers.get("retry-after-ms"):
        return float(milliseconds) / 1000
    return float(response.headers.get("retry-after", "1"))


async def _run(url: str, token: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0),
        headers={"authorization": f"Bearer {token}"},
        timeout=aiohttp.ClientTimeout(total=120),
    ) as http:
        flood = _Flood(http)
        workers = [asyncio.create_task(flood.repeat_turns()) for _ in range(TURN_WORKERS)]
        workers += [asyncio.create_task(flood.repeat_lists()) for _ in range(LIST_WORKERS)]
        await ended.wait()
        for worker in workers:
            worker.cancel()
        for worker in workers:
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await worker
    print(json.dumps(flood.answers))


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
