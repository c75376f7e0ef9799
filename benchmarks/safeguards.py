"""Benchmark of limits and TLS together: a stack with both, and one with neither.

Both record the audit trail, which cannot be turned off; turns and reads of history are not in it.
Both stacks run, and rounds alternate between them, so that the machine's speed is that of both.
"""

from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from benchmarks.servers.chat_rounds import STREAMS, ChatRounds, chat_rounds
from benchmarks.servers.fake_model import TOKENS
from benchmarks.servers.running_stack import data_folder, fake_model
from benchmarks.table import Row, per_second, print_table, time_row

WARM_UP_ROUNDS, ROUNDS, FIRST_TOKENS, READS = 3, 15, 10, 50
TARGET = 0.9
LIMITS = """
limits:
  - requests_per_minute: 1000000
    turns_per_minute: 1000000
    open_turns: 1000
    open_streams: 1000
    tokens_per_minute: 1000000000
"""


async def run() -> None:
    async with data_folder() as folder, fake_model() as model:
        limits = folder / "limits.yaml"
        limits.write_text(LIMITS)
        async with (
            chat_rounds(model) as plain,
            chat_rounds(model, "--tls", PARLEY_LIMITS_FILE=str(limits)) as guarded,
        ):
            both = (plain, guarded)
            for _ in range(WARM_UP_ROUNDS):
                await _alternate(both, ChatRounds.round, 1)
            before = [each.processor_seconds() for each in both]
            rates = await _alternate(both, ChatRounds.round, ROUNDS)
            seconds = [
                each.processor_seconds() - start for each, start in zip(both, before, strict=True)
            ]
            first_tokens = await _alternate(both, ChatRounds.first_token, FIRST_TOKENS)
            reads = await _alternate(both, ChatRounds.read, READS)
    tokens = ROUNDS * STREAMS * TOKENS
    without, with_all = (f"{1e6 * each / tokens:.0f} µs per token" for each in seconds)
    print_table(
        f"Limits, audit trail and TLS ({STREAMS} streams of {TOKENS} tokens at once)",
        [
            Row(
                "tokens",
                per_second(median(rates[1]), "tokens"),
                per_second(median(rates[0]), "tokens"),
                median(each / other for other, each in zip(*rates, strict=True)),
                TARGET,
            ),
            Row(
                "processor time of the services",
                with_all,
                without,
                seconds[0] / seconds[1],
                TARGET,
            ),
            time_row("first token, p50", median(first_tokens[1]), median(first_tokens[0]), TARGET),
            time_row("cached page, p50", median(reads[1]), median(reads[0]), TARGET),
        ],
    )


async def _alternate(
    both: Sequence[ChatRounds], measure: Callable[[ChatRounds], Awaitable[float]], count: int
) -> list[list[float]]:
    """For each stack what was measured on it."""
    measured: list[list[float]] = [[] for _ in both]
    for _ in range(count):
        for stack, results in zip(both, measured, strict=True):
            results.append(await measure(stack))
    return measured
