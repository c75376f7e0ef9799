"""Benchmark of TLS: turns through a stack of `parley up --tls`, and one of `parley up`.

Both stacks run; rounds alternate between them, so that the machine's speed is that of both. The
processor time is that of the services: what other programs do at the same time adds little to it.
"""

from collections.abc import Sequence
from statistics import median

from benchmarks.servers.chat_rounds import STREAMS, ChatRounds, chat_rounds
from benchmarks.servers.fake_model import TOKENS
from benchmarks.servers.running_stack import fake_model
from benchmarks.table import Row, per_second, print_table

WARM_UP_ROUNDS, ROUNDS = 3, 20
TARGET = 0.9


async def run() -> None:
    async with (
        fake_model() as model,
        chat_rounds(model) as plain,
        chat_rounds(model, "--tls") as encrypted,
    ):
        both = (plain, encrypted)
        await _rounds(both, WARM_UP_ROUNDS)
        before = [each.processor_seconds() for each in both]
        pairs = await _rounds(both, ROUNDS)
        seconds = [
            each.processor_seconds() - start for each, start in zip(both, before, strict=True)
        ]
    rates = [median(each) for each in zip(*pairs, strict=True)]
    tokens = ROUNDS * STREAMS * TOKENS
    without, with_tls = (f"{1e6 * each / tokens:.0f} µs per token" for each in seconds)
    print_table(
        f"TLS ({STREAMS} streams of {TOKENS} tokens at once, {ROUNDS} rounds each in turn)",
        [
            Row(
                "tokens, with TLS",
                per_second(rates[1], "tokens"),
                per_second(rates[0], "tokens"),
                median(encrypted / plain for plain, encrypted in pairs),
                TARGET,
            ),
            Row(
                "processor time of the services",
                with_tls,
                without,
                seconds[0] / seconds[1],
                TARGET,
            ),
        ],
    )


async def _rounds(stacks: Sequence[ChatRounds], count: int) -> list[tuple[float, ...]]:
    return [tuple([await each.round() for each in stacks]) for _ in range(count)]
