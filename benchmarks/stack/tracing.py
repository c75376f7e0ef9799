"""Benchmark of tracing: turns through a stack that traces a share of them, and one that does not.

Both stacks run; rounds alternate between them, so that the machine's speed is that of both.
What tracing costs where it is off is the time of a span that is not recorded, measured alone.
"""

import time
from statistics import median

from benchmarks.servers.chat_rounds import STREAMS, chat_rounds
from benchmarks.servers.fake_model import TOKENS
from benchmarks.servers.running_stack import fake_model, running_server
from benchmarks.table import Row, per_second, print_table
from parley_core.tracing.spans import span, trace_headers

WARM_UP_ROUNDS, ROUNDS = 3, 20
SHARE = "0.1"
TARGET = 0.97
CALLS = 200_000
# More than the spans, headers and ids for which a turn asks in all processes.
CALLS_PER_TURN = 40


async def run() -> None:
    async with fake_model() as model, running_server("trace_sink") as sink:
        tracing = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SHARE,
        }
        async with chat_rounds(model) as plain, chat_rounds(model, **tracing) as traced:
            for _ in range(WARM_UP_ROUNDS):
                await plain.round()
                await traced.round()
            pairs = [(await plain.round(), await traced.round()) for _ in range(ROUNDS)]
    rates = [median(each) for each in zip(*pairs, strict=True)]
    ratio = median(with_tracing / without for without, with_tracing in pairs)
    seconds = _seconds_of_a_call()
    turn_seconds = TOKENS / rates[0]
    print_table(
        f"Tracing ({STREAMS} streams of {TOKENS} tokens at once, {ROUNDS} rounds each in turn)",
        [
            Row(
                f"tokens, a share of {SHARE} traced",
                per_second(rates[1], "tokens"),
                per_second(rates[0], "tokens"),
                ratio,
                TARGET,
            ),
            Row(
                f"off: {CALLS_PER_TURN} calls for a span that is not recorded, per turn",
                f"{1e6 * CALLS_PER_TURN * seconds:.1f} µs",
                f"{1e6 * turn_seconds:,.0f} µs (a turn)",
                1 - CALLS_PER_TURN * seconds / turn_seconds,
                0.995,
            ),
        ],
    )


def _seconds_of_a_call() -> float:
    started_at = time.perf_counter()
    for _ in range(CALLS // 2):
        with span("part", "client", {"server.address": "127.0.0.1"}):
            trace_headers()
    return (time.perf_counter() - started_at) / CALLS
