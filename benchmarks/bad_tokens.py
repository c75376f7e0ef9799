"""Benchmark of bad tokens: what 5,000 a second from one address do to a person at another.

Rounds with and without the flood alternate. The gateway verifies 1,000 tokens of an address, and
then 100 a second; it refuses the others unverified.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.load.bad_tokens import bad_token_flood
from benchmarks.load.open_load import open_load
from benchmarks.load.person import Person
from benchmarks.servers.processor_time import processor_seconds
from benchmarks.servers.running_stack import RunningStack, data_folder, fake_model, running_stack
from benchmarks.table import Row, per_second, percentile, print_table, time_row

BAD_TOKENS_PER_SECOND = 5_000
ROUNDS, SECONDS = 3, 10
TURNS_PER_SECOND, READS_PER_SECOND = 4, 40
TARGET = 1 / 1.2


class Samples:
    """Seconds of turns and reads, and the share of a core that the gateway used."""

    def __init__(self) -> None:
        self.turns: list[float] = []
        self.reads: list[float] = []
        self.processor: list[float] = []

    async def take(self, person: Person, gateway_pid: int) -> None:
        before = processor_seconds(gateway_pid)
        turns, reads = await asyncio.gather(
            open_load(person.turn, per_second=TURNS_PER_SECOND, seconds=SECONDS),
            open_load(person.read, per_second=READS_PER_SECOND, seconds=SECONDS),
        )
        self.processor.append((processor_seconds(gateway_pid) - before) / SECONDS)
        self.turns += turns
        self.reads += reads


async def run() -> None:
    quiet, flooded, statuses = Samples(), Samples(), Counter[str]()
    async with (
        data_folder() as data,
        fake_model(0) as model,
        running_stack(data, model) as stack,
        _person(stack) as person,
    ):
        await person.start()
        pid = _pid_of_gateway(stack)
        for _ in range(ROUNDS):
            await quiet.take(person, pid)
            async with bad_token_flood(stack.url, per_second=BAD_TOKENS_PER_SECOND) as answers:
                await flooded.take(person, pid)
            statuses += answers
    rate = statuses.total() / (ROUNDS * SECONDS)
    during, before = (f"{sum(each.processor) / ROUNDS:.0%}" for each in (flooded, quiet))
    print_table(
        f"A person beside {BAD_TOKENS_PER_SECOND:,} bad tokens/s of another address",
        [
            *(
                time_row(f"{label}, p{percent}", *_percentiles(samples, percent), target)
                for label, *samples in (
                    ("page", flooded.reads, quiet.reads),
                    ("turn", flooded.turns, quiet.turns),
                )
                for percent, target in ((50, ""), (99, TARGET))
            ),
            Row("bad tokens answered", per_second(rate, "requests"), str(dict(statuses))),
            Row("gateway, share of a core", during, before),
        ],
    )


def _percentiles(samples: Sequence[Sequence[float]], percent: int) -> tuple[float, float]:
    during, before = samples
    return percentile(during, percent), percentile(before, percent)


def _pid_of_gateway(stack: RunningStack) -> int:
    processes = json.loads((stack.data / "stack.json").read_bytes())["processes"]
    return next(int(each["pid"]) for each in processes if each["name"] == "gateway")


@asynccontextmanager
async def _person(stack: RunningStack) -> AsyncIterator[Person]:
    headers = {"authorization": f"Bearer {stack.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(stack.url, connector=connector, headers=headers) as http:
        yield Person([http])
