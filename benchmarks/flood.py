"""Benchmark of one person's flood: what it does to the turns and reads of somebody else.

The flood is 500 clients of one person, each with a session in which it sends one message after
another, answered by a streamed turn of 5 to 15 s, and 20 that list the sessions about once a
second. A request that is refused is sent again after its `retry-after-ms`, or `Retry-After`, as
OpenAI's SDKs do. The measurement begins when the flood has lasted 10 s; the baseline is the same
load without it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import randint, uniform

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

TURN_WORKERS, LIST_WORKERS = 500, 20
TOKENS, TOKEN_SECONDS = (50, 150), 0.1
TURNS_PER_SECOND, READS_PER_SECOND, SECONDS = 4, 20, 30
FLOOD_SECONDS_BEFORE = 10
TARGET = 0.5
# The default, which the stack of a benchmark raises.
SHARE = {"PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "0.25"}


class Person:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._session = ""
        self.answers: Counter[int] = Counter()

    async def start(self) -> None:
        self._session = await self.start_session()
        await self.turn(1)

    async def start_session(self) -> str:
        async with self._http.post("/v1/sessions", json={}) as response:
            return str((await response.json())["id"])

    async def turn(self, tokens: int, session: str | None = None) -> None:
        """The first token of a turn, or all of them; by default in a new session."""
        path = f"/v1/sessions/{session or await self.start_session()}/messages"
        body = {"content": f"[tokens {tokens}]", "stream": True}
        async with self._http.post(path, json=body) as response:
            self.answers[response.status] += 1
            if response.status != 200:
                await asyncio.sleep(_retry_after(response))
                return
            async for line in response.content:
                if b"reply.delta" in line and tokens == 1:
                    return

    async def read(self) -> None:
        async with self._http.get(f"/v1/history/{self._session}") as response:
            assert response.status == 200, await response.text()
            await response.read()

    async def list(self) -> None:
        async with self._http.get("/v1/sessions?limit=100") as response:
            self.answers[response.status] += 1
            if response.status != 200:
                await asyncio.sleep(_retry_after(response))


def _retry_after(response: aiohttp.ClientResponse) -> float:
    if milliseconds := response.headers.get("retry-after-ms"):
        return float(milliseconds) / 1000
    return float(response.headers.get("retry-after", "1"))


async def run() -> None:
    async with (
        data_folder() as data,
        fake_model(TOKEN_SECONDS) as model,
        running_stack(data, model, **SHARE) as stack,
        _person(stack, "grace") as grace,
        _person(stack, "mallory") as mallory,
    ):
        await grace.start()
        quiet = await _load(grace)
        async with _flood(mallory):
            loaded = await _load(grace)
    print_table(f"A person beside another one's {TURN_WORKERS} turns at once", _rows(quiet, loaded))
    print("The flood's answers by status:", dict(mallory.answers))


Samples = Sequence[Sequence[float]]


async def _load(person: Person) -> Samples:
    """The seconds to first tokens, and of reads."""
    return await asyncio.gather(
        open_load(lambda: person.turn(1), per_second=TURNS_PER_SECOND, seconds=SECONDS),
        open_load(person.read, per_second=READS_PER_SECOND, seconds=SECONDS),
    )


def _rows(quiet: Samples, loaded: Samples) -> list[Row]:
    rows = []
    for label, before, during in zip(
        ("first token", "page of history"), quiet, loaded, strict=True
    ):
        for percent, target in ((50, ""), (99, TARGET)):
            times = percentile(during, percent), percentile(before, percent)
            rows.append(time_row(f"{label}, p{percent}", *times, target))
    return rows


@asynccontextmanager
async def _flood(person: Person) -> AsyncIterator[None]:
    async def repeat_turns() -> None:
        session = await person.start_session()
        while True:
            await person.turn(randint(*TOKENS), session)

    async def repeat_lists() -> None:
        while True:
            await person.list()
            await asyncio.sleep(uniform(0.5, 1.5))

    workers = [asyncio.create_task(repeat_turns()) for _ in range(TURN_WORKERS)]
    workers += [asyncio.create_task(repeat_lists()) for _ in range(LIST_WORKERS)]
    await asyncio.sleep(FLOOD_SECONDS_BEFORE)
    try:
        yield
    finally:
        for worker in workers:
            worker.cancel()
        for worker in workers:
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await worker


@asynccontextmanager
async def _person(stack: RunningStack, user: str) -> AsyncIterator[Person]:
    headers = {"authorization": f"Bearer {token_of(stack, user)}"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(
        stack.url, connector=connector, headers=headers, timeout=timeout
    ) as http:
        yield Person(http)
