"""Benchmark of limits, over three gateways: how many requests of a flood they admit, what the flood
does to somebody else, and what limits cost those who stay within them.

The flood is 50 clients of one person who send ten times as many requests as allowed, from the
beginning of a minute. The other person's load begins when the limit is used up. The baseline of
the cost is a person without limits in the same run; of the flood, the same person before it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle

import aiohttp

from benchmarks.load.open_load import open_load
from benchmarks.servers.running_stack import (
    RunningStack,
    data_folder,
    fake_model,
    running_stack,
    token_of,
)
from benchmarks.table import Row, percentile, print_table, time_row

GATEWAYS, CLIENTS = 3, 50
LIMIT = 600
FLOOD_PER_SECOND = 10 * LIMIT // 60
ROUNDS, TURNS, READS = 5, 20, 200
USED_UP_SECONDS = 10
LOAD_SECONDS, TURNS_PER_SECOND, READS_PER_SECOND = 20, 4, 20
HIGH = "requests_per_minute: 1000000, turns_per_minute: 1000000, open_streams: 1000, "
RULES = f"""
limits:
  - {{user: mallory, requests_per_minute: {LIMIT}}}
  - {{user: limited, {HIGH} open_turns: 1000, tokens_per_minute: 1000000000}}
"""


class Person:
    """Sends to one gateway after the other."""

    def __init__(self, gateways: Sequence[aiohttp.ClientSession]) -> None:
        self._gateways = cycle(gateways)
        self._session = ""
        self.answers: Counter[int] = Counter()

    async def start(self) -> None:
        async with next(self._gateways).post("/v1/sessions", json={}) as response:
            self._session = str((await response.json())["id"])
        await self.turn()

    async def turn(self) -> None:
        """A turn of one token, in a new session."""
        gateway = next(self._gateways)
        async with gateway.post("/v1/sessions", json={}) as response:
            session = (await response.json())["id"]
        body = {"content": "[tokens 1]", "stream": True}
        path = f"/v1/sessions/{session}/messages"
        async with gateway.post(path, json=body) as response:
            assert response.status == 200, await response.text()
            await response.read()

    async def read(self) -> None:
        await self._get(f"/v1/history/{self._session}")

    async def list(self) -> None:
        await self._get("/v1/sessions")

    async def _get(self, path: str) -> None:
        async with next(self._gateways).get(path) as response:
            self.answers[response.status] += 1
            await response.read()


async def run() -> None:
    async with data_folder() as data, fake_model() as model:
        rules = data / "limits.yaml"
        rules.write_text(RULES)
        replicas = ("--replicas", f"gateway={GATEWAYS}")
        async with (
            running_stack(data, model, *replicas, PARLEY_LIMITS_FILE=str(rules)) as stack,
            _person(stack, "free") as free,
            _person(stack, "limited") as limited,
            _person(stack, "mallory") as mallory,
        ):
            for person in (free, limited, mallory):
                await person.start()
            cost = await _cost(free, limited)
            quiet = await _load(free)
            loaded, admitted = await _flooded(free, mallory)
    print_table("Limits", [*cost, *_rows(quiet, loaded), admitted])


async def _cost(free: Person, limited: Person) -> list[Row]:
    turns: dict[Person, list[float]] = {free: [], limited: []}
    reads: dict[Person, list[float]] = {free: [], limited: []}
    # Alternating, so that other load on the machine affects both.
    for _ in range(ROUNDS):
        for person in (free, limited):
            turns[person] += [await _seconds(person.turn) for _ in range(TURNS)]
            reads[person] += [await _seconds(person.read) for _ in range(READS)]
    return [
        time_row("turn within limits, p50", *_medians(turns, limited, free), 0.9),
        time_row("cached page within limits, p50", *_medians(reads, limited, free), 0.9),
    ]


async def _flooded(free: Person, mallory: Person) -> tuple[Sequence[Sequence[float]], Row]:
    await asyncio.sleep(60 - time.time() % 60)
    mallory.answers.clear()

    async def load() -> Sequence[Sequence[float]]:
        await asyncio.sleep(USED_UP_SECONDS)
        return await _load(free)

    seconds = USED_UP_SECONDS + LOAD_SECONDS
    flood = open_load(mallory.list, per_second=FLOOD_PER_SECOND, seconds=seconds)
    loaded, _ = await asyncio.gather(load(), flood)
    admitted = mallory.answers[200]
    met = abs(admitted - LIMIT) <= 0.05 * LIMIT
    measured = f"{admitted} of {mallory.answers.total()}"
    return loaded, Row("requests admitted", measured, str(LIMIT), None, "within 5 %", met)


async def _load(person: Person) -> Sequence[Sequence[float]]:
    return await asyncio.gather(
        open_load(person.turn, per_second=TURNS_PER_SECOND, seconds=LOAD_SECONDS),
        open_load(person.read, per_second=READS_PER_SECOND, seconds=LOAD_SECONDS),
    )


def _rows(quiet: Sequence[Sequence[float]], loaded: Sequence[Sequence[float]]) -> list[Row]:
    return [
        time_row(f"{label} of another one, p99", percentile(during, 99), percentile(before, 99))
        for label, before, during in zip(("turn", "page"), quiet, loaded, strict=True)
    ]


def _medians(
    seconds: dict[Person, list[float]], measured: Person, baseline: Person
) -> tuple[float, float]:
    return percentile(seconds[measured], 50), percentile(seconds[baseline], 50)


async def _seconds(send: Callable[[], Awaitable[None]]) -> float:
    started_at = time.perf_counter()
    await send()
    return time.perf_counter() - started_at


@asynccontextmanager
async def _person(stack: RunningStack, user: str) -> AsyncIterator[Person]:
    headers = {"authorization": f"Bearer {await token_of(stack, user)}"}
    processes = await stack.processes()
    addresses = [each["address"] for each in processes if each["name"].startswith("gateway")]
    assert len(addresses) == GATEWAYS
    async with AsyncExitStack() as clients:
        gateways = [
            await clients.enter_async_context(
                aiohttp.ClientSession(
                    f"http://{address}",
                    connector=aiohttp.TCPConnector(limit=CLIENTS // GATEWAYS + 1),
                    headers=headers,
                )
            )
            for address in addresses
        ]
        yield Person(gateways)
