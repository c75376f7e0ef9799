"""Benchmark of one person's flood: what it does to the turns and reads of somebody else.

The flood is 500 clients of one person, each with a session in which it sends one message after
another, answered by a streamed turn of 5 to 15 s, and 20 that list the sessions about once a
second. A request that is refused is sent again after its `retry-after-ms`, or `Retry-After`, as
OpenAI's SDKs do. The measurement begins when the flood has lasted 10 s; the baseline is the same
load without it.
"""

import asyncio
from collections.abc import Sequence

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
TURNS_PER_SECOND, READS_PER_SECOND, SECONDS = 4, 20, 30
FLOOD_SECONDS_BEFORE = 10
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
        quiet = await _load(grace)
        async with turn_flood(stack.url, token_of(stack, "mallory")) as answers:
            await asyncio.sleep(FLOOD_SECONDS_BEFORE)
            loaded = await _load(grace)
    print_table(f"A person beside another one's {TURN_WORKERS} turns at once", _rows(quiet, loaded))
    print("The flood's answers by status:", dict(answers))


Samples = Sequence[Sequence[float]]


async def _load(person: Person) -> Samples:
    """The seconds to first tokens, and of reads."""
    return await asyncio.gather(
        open_load(person.first_token, per_second=TURNS_PER_SECOND, seconds=SECONDS),
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
