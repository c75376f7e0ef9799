"""Benchmark of limits, over three gateways: how many requests of a flood they admit, what the flood
does to somebody else, and what limits cost those who stay within them.

The flood is 50 clients of one person who send ten times as many requests as allowed, from the
beginning of a minute. When the limit is used up, five rounds of another person's load beside the
flood alternate with five without it: the baseline. That of the cost is a person without limits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

import aiohttp

from benchmarks.load.open_load import open_load
from benchmarks.load.person import Person
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
TURNS, READS = 30, 1_200
ROUNDS, READS_OF_A_ROUND = 12, 120
# All of it in one minute.
USED_UP_SECONDS, FLOODED_ROUNDS, LOAD_SECONDS = 7, 5, 5
TURNS_PER_SECOND, READS_PER_SECOND = 4, 40
TARGET, FLOODED_TARGET = 0.9, 0.67
HIGH = "requests_per_minute: 1000000, turns_per_minute: 1000000, open_streams: 1000, "
RULES = f"""
limits:
  - {{user: mallory, requests_per_minute: {LIMIT}}}
  - {{user: limited, {HIGH} open_turns: 1000, tokens_per_minute: 1000000000}}
  - {{user: budgeted, cost_per_day: 1000000000000}}
"""
MODELS = """
models:
  - name: fake
    base_url: {url}
    context_size: 16384
    reply_tokens: 1000
    price: {{currency: EUR, prompt: 1000000, completion: 2000000}}
"""


async def run() -> None:
    async with data_folder() as data, fake_model() as model:
        rules, models = data / "limits.yaml", data / "models.yaml"
        rules.write_text(RULES)
        models.write_text(MODELS.format(url=model))
        replicas = ("--replicas", f"gateway={GATEWAYS}")
        files = {"PARLEY_LIMITS_FILE": str(rules), "PARLEY_MODELS": str(models)}
        async with (
            running_stack(data, model, *replicas, **files) as stack,
            _person(stack, "free") as free,
            _person(stack, "limited") as limited,
            _person(stack, "budgeted") as budgeted,
            _person(stack, "mallory") as mallory,
        ):
            for person in (free, limited, budgeted, mallory):
                await person.start()
            cost = await _cost(stack, free, limited, budgeted)
            flooded = await _flooded(free, mallory)
    print_table("Limits", [*cost, *flooded])


async def _cost(stack: RunningStack, free: Person, limited: Person, budgeted: Person) -> list[Row]:
    people = (free, limited, budgeted)
    turns: dict[Person, list[float]] = {each: [] for each in people}
    reads: dict[Person, list[float]] = {each: [] for each in people}
    processor: dict[Person, float] = dict.fromkeys(people, 0.0)
    # In turn, so that other load on the machine affects all, and none is always the first.
    for number in range(TURNS):
        for person in _rotated(people, number):
            turns[person].append(await _seconds(person.turn))
    for number in range(READS):
        for person in _rotated(people, number):
            reads[person].append(await _seconds(person.read))
    for number in range(ROUNDS):
        for person in _rotated(people, number):
            before = stack.processor_seconds("gateway")
            for _ in range(READS_OF_A_ROUND):
                await person.read()
            processor[person] += stack.processor_seconds("gateway") - before
    return [
        time_row("turn within limits, p50", *_medians(turns, limited, free), TARGET),
        time_row("turn within a budget, p50", *_medians(turns, budgeted, free), TARGET),
        time_row("cached page within limits, p50", *_medians(reads, limited, free), TARGET),
        time_row(
            "the same, processor time of the gateways",
            processor[limited] / (ROUNDS * READS_OF_A_ROUND),
            processor[free] / (ROUNDS * READS_OF_A_ROUND),
            TARGET,
        ),
    ]


async def _flooded(free: Person, mallory: Person) -> list[Row]:
    await asyncio.sleep(60 - time.time() % 60)
    mallory.answers.clear()
    await _flood(mallory, USED_UP_SECONDS)
    rounds: list[tuple[Samples, Samples]] = []
    for _ in range(FLOODED_ROUNDS):
        loaded, _ = await asyncio.gather(_load(free), _flood(mallory, LOAD_SECONDS))
        rounds.append((loaded, await _load(free)))
    rows = []
    for number, label in enumerate(("turn", "page")):
        p99s = [[percentile(each[number], 99) for each in pair] for pair in rounds]
        ratio = median(quiet / during for during, quiet in p99s)
        during, quiet = (f"{1e3 * median(each):.1f} ms" for each in zip(*p99s, strict=True))
        what = f"{label} of another one, p99, median of {FLOODED_ROUNDS}"
        rows.append(Row(what, during, quiet, ratio, FLOODED_TARGET))
    admitted = mallory.answers[200]
    met = abs(admitted - LIMIT) <= 0.05 * LIMIT
    measured = f"{admitted} of {mallory.answers.total()}"
    return [*rows, Row("requests admitted", measured, str(LIMIT), None, "within 5 %", met)]


async def _flood(mallory: Person, seconds: int) -> None:
    await open_load(mallory.list, per_second=FLOOD_PER_SECOND, seconds=seconds)


Samples = Sequence[Sequence[float]]


async def _load(person: Person) -> Samples:
    """The seconds of turns, and of reads."""
    return await asyncio.gather(
        open_load(person.turn, per_second=TURNS_PER_SECOND, seconds=LOAD_SECONDS),
        open_load(person.read, per_second=READS_PER_SECOND, seconds=LOAD_SECONDS),
    )


def _rotated(people: Sequence[Person], number: int) -> Sequence[Person]:
    first = number % len(people)
    return [*people[first:], *people[:first]]


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
    headers = {"authorization": f"Bearer {token_of(stack, user)}"}
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
