"""Soak under mixed, large and hostile traffic: `python -m benchmarks.overload.soak --minutes 30`.

Prints the resident memory of each process every minute. At the end it compares each process with
its limit and with the middle of the run.
"""

import argparse
import asyncio
import collections
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvloop

from benchmarks.servers.memory import resident_megabytes
from benchmarks.servers.running_stack import RunningStack, data_folder, fake_model, running_stack

SERVICES = ("gateway", "session", "inference", "history")
MAX_MEGABYTES, MAX_SESSION_MEGABYTES, MAX_GROWTH = 512, 768, 1.1
WORKERS_PER_KIND = 2
# The traffic returns to these, so that their pages and windows grow.
KEPT_SESSIONS = 200
LARGE_MESSAGE = "A large message of ordinary words. " * 6_000
HOSTILE_BODIES = (
    b"{" * 1_000,
    b"[" * 200_000,
    b'{"content": "\\ud800"}',
    b'{"content": "' + b"x" * 1_000_000 + b'"}',
    b"{" + b",".join(b'"k%d":0' % number for number in range(50_000)) + b"}",
    b"\xff" * 100_000,
)


class Traffic:
    """Endless requests of several kinds; `answers` counts them by kind and status."""

    def __init__(self, http: aiohttp.ClientSession, stack: RunningStack) -> None:
        self.answers: collections.Counter[tuple[str, int]] = collections.Counter()
        self._http, self._url = http, f"{stack.url}/v1"
        self._headers = {"authorization": f"Bearer {stack.token}"}
        self._sessions: collections.deque[str] = collections.deque(maxlen=KEPT_SESSIONS)
        self._numbers = itertools.count()

    async def run(self, kind: Callable[["Traffic"], Awaitable[None]]) -> None:
        while True:
            try:
                await kind(self)
            except (aiohttp.ClientError, TimeoutError):
                self.answers[kind.__name__, 0] += 1
                await asyncio.sleep(0.1)

    async def chat(self) -> None:
        """A new session of three turns."""
        session = await self._new_session()
        for _ in range(3):
            await self._message("chat", session, f"Question {next(self._numbers)}, please.")

    async def large_messages(self) -> None:
        await self._message("large_messages", await self._any_session(), LARGE_MESSAGE)

    async def history_pages(self) -> None:
        session, limit = await self._any_session(), random.choice((20, 100))
        await self._request("history_pages", "GET", f"/history/{session}?limit={limit}")

    async def lists_and_searches(self) -> None:
        await self._request("lists_and_searches", "GET", "/sessions?limit=100")
        await self._request(
            "lists_and_searches", "POST", "/search", json={"query": "ordinary words"}
        )

    async def hostile_inputs(self) -> None:
        path = f"/sessions/{await self._any_session()}/messages"
        for body in HOSTILE_BODIES:
            await self._request("hostile_inputs", "POST", path, data=body)
        await self._request("hostile_inputs", "GET", "/sessions?" + "a=1&" * 2_000)

    async def _new_session(self) -> str:
        async with self._http.post(
            f"{self._url}/sessions", json={"title": "Soak"}, headers=self._headers
        ) as response:
            response.raise_for_status()
            session = str((await response.json())["id"])
        self._sessions.append(session)
        return session

    async def _any_session(self) -> str:
        return random.choice(self._sessions) if self._sessions else await self._new_session()

    async def _message(self, kind: str, session: str, content: str) -> None:
        body = {"content": content, "stream": True}
        await self._request(kind, "POST", f"/sessions/{session}/messages", json=body)

    async def _request(self, kind: str, method: str, path: str, **arguments: Any) -> None:
        headers = self._headers | {"content-type": "application/json"}
        async with self._http.request(
            method, self._url + path, headers=headers, **arguments
        ) as response:
            async for _ in response.content.iter_chunked(65_536):
                pass
            self.answers[kind, response.status] += 1


async def run(minutes: int) -> None:
    async with (
        data_folder() as data,
        fake_model() as model,
        running_stack(data, model) as stack,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
    ):
        traffic = Traffic(http, stack)
        kinds = (
            Traffic.chat,
            Traffic.large_messages,
            Traffic.history_pages,
            Traffic.lists_and_searches,
            Traffic.hostile_inputs,
        )
        workers = [
            asyncio.create_task(traffic.run(kind))
            for kind in kinds
            for _ in range(WORKERS_PER_KIND)
        ]
        curve = [await _measured(stack, 0)]
        started_at = time.monotonic()
        for minute in range(1, minutes + 1):
            await asyncio.sleep(started_at + 60 * minute - time.monotonic())
            curve.append(await _measured(stack, minute))
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for (kind, status), count in sorted(traffic.answers.items()):
        print(f"{kind}, {status or 'no answer'}: {count:,}")
    middle, end = curve[minutes // 2], curve[-1]
    for name, megabytes in end.items():
        limit = MAX_SESSION_MEGABYTES if name.startswith("session") else MAX_MEGABYTES
        growth = megabytes / middle[name]
        kept = "kept" if megabytes <= limit and growth <= MAX_GROWTH else "MISSED"
        print(f"{name}: {megabytes:.0f} MiB of {limit}, {growth:.2f} times the middle: {kept}")


async def _measured(stack: RunningStack, minute: int) -> dict[str, float]:
    """Print and return the resident MiB of the processes of the services."""
    measured = {
        each["name"]: resident_megabytes(each["pid"])
        for each in await stack.processes()
        if each["name"].startswith(SERVICES)
    }
    columns = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in measured.items())
    print(f"minute {minute}: {columns} (MiB)", flush=True)
    return measured


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30, help="how long to run (default: 30)")
    uvloop.run(run(parser.parse_args().minutes))
