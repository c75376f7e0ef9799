"""Benchmark of paced streams: how many streams of 20 tokens/s keep their pace."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise

import aiohttp

from benchmarks.load.paced_client import PacedClient, token_times
from benchmarks.servers.running_stack import data_folder, fake_model, running_stack
from benchmarks.table import Row, milliseconds, percentile, print_table

TOKEN_INTERVAL_SECONDS = 0.05
STEPS = (50, 100, 200, 300, 400, 600)
OPENED_PER_SECOND = 40
MEASURED_SECONDS, MARGIN_SECONDS = 5, 2
JITTER_TARGET = 0.050
SETTINGS = {
    # One person has all streams.
    "PARLEY_GATEWAY_MAX_PERSON_SHARE": "1",
    "PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "1",
    "PARLEY_INFERENCE_MAX_TURNS": "2000",
    "PARLEY_INFERENCE_UPSTREAM_MAX_CONCURRENCY": "2000",
}

Read = Callable[[int], Coroutine[None, None, list[float]]]
"""Reads a stream of the given number of tokens; returns the arrival time of each."""


async def run() -> None:
    async with (
        data_folder() as data,
        fake_model(TOKEN_INTERVAL_SECONDS) as model,
        running_stack(data, model, **SETTINGS) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        client = PacedClient(http, stack)

        async def through_parley(tokens: int) -> list[float]:
            async with client.stream(await client.new_session(), tokens) as content:
                return await token_times(content)

        async def direct(tokens: int) -> list[float]:
            body = {"messages": [{"role": "user", "content": f"[tokens {tokens}]"}]}
            async with http.post(f"{model}/chat/completions", json=body) as response:
                return await token_times(response.content)

        await through_parley(10)
        rows, sustained = [], 0
        for streams in STEPS:
            jitters = await _jitters(through_parley, streams)
            baselines = await _jitters(direct, streams)
            rows.append(_row(streams, jitters, baselines))
            if percentile(jitters, 99) >= JITTER_TARGET:
                break
            sustained = streams
    rows.append(Row("streams that keep their pace", f"{sustained}"))
    pace = f"{1 / TOKEN_INTERVAL_SECONDS:.0f} tokens/s each"
    print_table(f"Paced streams ({pace}; jitter is the deviation of each token interval)", rows)


def _row(streams: int, jitters: Sequence[float], baselines: Sequence[float]) -> Row:
    p99 = percentile(jitters, 99)
    return Row(
        f"{streams} streams, jitter p50, p99",
        f"{milliseconds(percentile(jitters, 50))}, {milliseconds(p99)}",
        f"{milliseconds(percentile(baselines, 50))}, {milliseconds(percentile(baselines, 99))}",
        target=f"p99 < {1000 * JITTER_TARGET:.0f} ms",
        met=p99 < JITTER_TARGET,
    )


async def _jitters(read: Read, streams: int) -> list[float]:
    """The jitter of every token that arrives while all streams are open."""
    opening = streams / OPENED_PER_SECOND
    tokens = int((opening + MEASURED_SECONDS + MARGIN_SECONDS) / TOKEN_INTERVAL_SECONDS)
    reading: list[asyncio.Task[list[float]]] = []
    for _ in range(streams):
        reading.append(asyncio.create_task(read(tokens)))
        await asyncio.sleep(1 / OPENED_PER_SECOND)
    begin = time.perf_counter() + MARGIN_SECONDS / 2
    all_times = await asyncio.gather(*reading)
    jitters: list[float] = []
    for times in all_times:
        assert len(times) == tokens, (len(times), tokens)
        measured = [t for t in times if begin <= t < begin + MEASURED_SECONDS]
        jitters += (abs(b - a - TOKEN_INTERVAL_SECONDS) for a, b in pairwise(measured))
    return jitters
