"""Benchmark of limits, alone and with TLS: stacks with these, and one with neither.

All record the audit trail, which cannot be turned off; turns and reads of history are not in it.
All stacks run, and rounds alternate between them, so that the machine's speed is that of each.
"""

from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from benchmarks.servers.chat_rounds import STREAMS, ChatRounds, chat_rounds
from benchmarks.servers.fake_model import TOKENS
from benchmarks.servers.running_stack import data_folder, fake_model
from benchmarks.table import Row, per_second, print_table, time_row

WARM_UP_ROUNDS, ROUNDS, FIRST_TOKENS, READS = 3, 12, 60, 60
TARGET = 0.9
LIMITS = """
limits:
  - requests_per_minute: 1000000
    turns_per_minute: 1000000
    open_turns: 1000
    open_streams: 1000
    tokens_per_minute: 1000000000
"""


Measured = list[list[float]]
"""For each stack what was measured on it."""


async def run() -> None:
    async with data_folder() as folder, fake_model() as model:
        file = folder / "limits.yaml"
        file.write_text(LIMITS)
        limits = {"PARLEY_LIMITS_FILE": str(file)}
        async with (
            chat_rounds(model) as plain,
            chat_rounds(model, **limits) as limited,
            chat_rounds(model, "--tls", **limits) as encrypted,
        ):
            stacks = (plain, limited, encrypted)
            await _alternate(stacks, ChatRounds.round, WARM_UP_ROUNDS)
            before = [each.processor_seconds() for each in stacks]
            rates = await _alternate(stacks, ChatRounds.round, ROUNDS)
            processor = [
                (each.processor_seconds() - start) / (ROUNDS * STREAMS)
                for each, start in zip(stacks, before, strict=True)
            ]
            first_tokens = await _alternate(stacks, ChatRounds.first_token, FIRST_TOKENS)
            reads = await _alternate(stacks, ChatRounds.read, READS)
    rows = []
    for label, number, target in (("limits", 1, TARGET), ("limits and TLS", 2, "")):
        rows += [
            _tokens_row(f"tokens, with {label}", rates, number, target),
            time_row(
                "processor time of the services per turn", processor[number], processor[0], target
            ),
            _median_row("first token, p50", first_tokens, number, target),
            _median_row("cached page, p50", reads, number, target),
        ]
    print_table(f"Limits and TLS ({STREAMS} streams of {TOKENS} tokens at once)", rows)


def _tokens_row(label: str, rates: Measured, number: int, target: float | str) -> Row:
    measured, baseline = (per_second(median(rates[each]), "tokens") for each in (number, 0))
    ratio = median(each / other for other, each in zip(rates[0], rates[number], strict=True))
    return Row(label, measured, baseline, ratio, target)


def _median_row(label: str, seconds: Measured, number: int, target: float | str) -> Row:
    return time_row(label, median(seconds[number]), median(seconds[0]), target)


async def _alternate(
    stacks: Sequence[ChatRounds], measure: Callable[[ChatRounds], Awaitable[float]], count: int
) -> Measured:
    measured: Measured = [[] for _ in stacks]
    for round_number in range(count):
        # None is always the first one.
        for place in range(len(stacks)):
            number = (round_number + place) % len(stacks)
            measured[number].append(await measure(stacks[number]))
    return measured
