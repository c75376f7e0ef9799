"""Benchmark of bad tokens: what 5,000 a second from one address do to a person at another.

Rounds with and without the flood alternate. The gateway verifies 1,000 tokens of an address, and
then 20 a second; it refuses the others unverified, after a second. The measurement begins when
the first 1,000 are verified.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from benchmarks.load.bad_tokens import bad_token_flood
from benchmarks.load.open_load import open_load
from benchmarks.load.person import Person, person_on
from benchmarks.servers.running_stack import RunningStack, data_folder, fake_model, running_stack
from benchmarks.table import Row, per_second, percentile, print_table, time_row

BAD_TOKENS_PER_SECOND = 5_000
ROUNDS, SECONDS, FLOOD_SECONDS_BEFORE = 3, 8, 4
TURNS_PER_SECOND, READS_PER_SECOND = 4, 40
TARGET = 0.83


class Samples:
    """Seconds of turns and reads, and processor seconds of the gateway."""

    def __init__(self) -> None:
        self.turns: list[float] = []
        self.reads: list[float] = []
        self.processor = 0.0

    async def take(self, person: Person, stack: RunningStack) -> None:
        before = stack.processor_seconds("gateway")
        turns, reads = await asyncio.gather(
            open_load(person.turn, per_second=TURNS_PER_SECOND, seconds=SECONDS),
            open_load(person.read, per_second=READS_PER_SECOND, seconds=SECONDS),
        )
        self.processor += stack.processor_seconds("gateway") - before
        self.turns += turns
        self.reads += reads


async def run() -> None:
    quiet, flooded, statuses = Samples(), Samples(), Counter[str]()
    async with (
        data_folder() as data,
        fake_model(0) as model,
        running_stack(data, model) as stack,
        person_on(stack) as person,
    ):
        await person.start()
        for _ in range(ROUNDS):
            await quiet.take(person, stack)
            async with bad_token_flood(stack.url, per_second=BAD_TOKENS_PER_SECOND) as answers:
                await asyncio.sleep(FLOOD_SECONDS_BEFORE)
                answers.clear()
                await flooded.take(person, stack)
            statuses += answers
    seconds = ROUNDS * SECONDS
    during, before = (f"{each.processor / seconds:.0%}" for each in (flooded, quiet))
    each_token = (flooded.processor - quiet.processor) / statuses.total()
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
            Row(
                "bad tokens answered",
                per_second(statuses.total() / seconds, "requests"),
                str(dict(statuses)),
            ),
            Row("gateway, share of a core", during, before),
            Row("gateway, processor time of a bad token", f"{1e6 * each_token:.0f} µs"),
        ],
    )


def _percentiles(samples: Sequence[Sequence[float]], percent: int) -> tuple[float, float]:
    during, before = samples
    return percentile(during, percent), percentile(before, percent)
