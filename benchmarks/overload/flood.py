"""Benchmark of one person's flood: what it does to the turns and reads of somebody else.

The flood is 500 clients of one person, each with a session in which it sends one message after
another, answered by a streamed turn of 5 to 15 s, and 20 that list the sessions about once a
second. A request that is refused is sent again after its `retry-after-ms`, or `Retry-After`, as
OpenAI's SDKs do. Rounds with and without the flood alternate, so that the machine's speed is that
of both; those without are the baseline. A round with it begins when the flood has lasted 10 s.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.load.open_load import open_load
from benchmarks.load.person import Person, person_on
from benchmarks.load.turn_flood import TURN_WORKERS, turn_flood
from benchmarks.servers.running_stack import (
    data_folder,
    fake_model,
    running_stack,
    token_of,
)
from benchmarks.table import Row, percentile, print_table, time_row

TOKEN_SECONDS = 0.1
TURNS_PER_SECOND, READS_PER_SECOND = 4, 20
ROUNDS, SECONDS, FLOOD_SECONDS_BEFORE = 4, 20, 10
TARGET = 0.5
# The default, which the stack of a benchmark raises.
SHARE = {"PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "0.25"}


async def run() -> None:
    async with (
        data_folder() as data,
        fake_model(TOKEN_SECONDS) as model,
        running_stack(data, model, **SHARE) as stack,
        person_on(stack) as grace,
    ):
        await grace.start()
        quiet, loaded, answers = Samples(), Samples(), Counter[str]()
        for _ in range(ROUNDS):
            await quiet.measure(grace)
            async with turn_flood(stack.url, token_of(stack, "mallory")) as round_answers:
                await asyncio.sleep(FLOOD_SECONDS_BEFORE)
                await loaded.measure(grace)
            answers += round_answers
    print_table(f"A person beside another one's {TURN_WORKERS} turns at once", _rows(quiet, loaded))
    print("The flood's answers by status:", dict(answers))


@dataclass
class Samples:
    """The seconds to first tokens, and of reads."""

    first_tokens: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)

    async def measure(self, person: Person) -> None:
        first_tokens, reads = await asyncio.gather(
            open_load(person.first_token, per_second=TURNS_PER_SECOND, seconds=SECONDS),
            open_load(person.read, per_second=READS_PER_SECOND, seconds=SECONDS),
        )
        self.first_tokens += first_tokens
        self.reads += reads


def _rows(quiet: Samples, loaded: Samples) -> list[Row]:
    return [
        time_row(
            f"{label}, p{percent}", percentile(during, percent), percentile(before, percent), target
        )
        for label, before, during in (
            ("first token", quiet.first_tokens, loaded.first_tokens),
            ("page of history", quiet.reads, loaded.reads),
        )
        for percent, target in ((50, ""), (99, TARGET))
    ]
