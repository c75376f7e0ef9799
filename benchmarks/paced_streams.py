"""How many streams of 20 tokens a second each hold their pace through the whole stack."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise

import aiohttp

from benchmarks.paced_talk import PacedTalk, token_times
from benchmarks.running_stack import a_folder, paced_model, running_stack
from benchmarks.table import Line, milliseconds, percentile, print_table

PACE_SECONDS = 0.05
STEPS = (50, 100, 200, 300, 400, 600)
OPENED_PER_SECOND = 40
MEASURED_SECONDS, MARGIN_SECONDS = 5, 2
JITTER_AIM = 0.050
SETTINGS = {
    "PARLEY_INFERENCE_MAX_TURNS": "2000",
    "PARLEY_INFERENCE_UPSTREAM_MAX_CONCURRENCY": "2000",
}

Read = Callable[[int], Coroutine[None, None, list[float]]]
"""Reads a stream of so many tokens; answers when each came."""


async def run() -> None:
    async with (
        a_folder() as data,
        paced_model(PACE_SECONDS) as model,
        running_stack(data, model, **SETTINGS) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        talk = PacedTalk(http, stack)

        async def ours(tokens: int) -> list[float]:
            async with talk.stream(await talk.new_session(), tokens) as content:
                return await token_times(content)

        async def straight(tokens: int) -> list[float]:
            asked = {"messages": [{"role": "user", "content": f"[tokens {tokens}]"}]}
            async with http.post(f"{model}/chat/completions", json=asked) as response:
                return await token_times(response.content)

        await ours(10)
        lines, held = [], 0
        for streams in STEPS:
            jitters = await _jitters(ours, streams)
            floors = await _jitters(straight, streams)
            lines.append(_line(streams, jitters, floors))
            if percentile(jitters, 99) >= JITTER_AIM:
                break
            held = streams
    lines.append(Line("streams that hold their pace", f"{held}"))
    pace = f"{1 / PACE_SECONDS:.0f} tokens a second each"
    print_table(f"Paced streams ({pace}; the distance of each pause from its length)", lines)


def _line(streams: int, jitters: Sequence[float], floors: Sequence[float]) -> Line:
    late = percentile(jitters, 99)
    return Line(
        f"{streams} streams, jitter p50, p99",
        f"{milliseconds(percentile(jitters, 50))}, {milliseconds(late)}",
        f"{milliseconds(percentile(floors, 50))}, {milliseconds(percentile(floors, 99))}",
        aim=f"p99 < {1000 * JITTER_AIM:.0f} ms",
        met=late < JITTER_AIM,
    )


async def _jitters(read: Read, streams: int) -> list[float]:
    """Of every token that comes while all the streams are open."""
    opening = streams / OPENED_PER_SECOND
    tokens = int((opening + MEASURED_SECONDS + MARGIN_SECONDS) / PACE_SECONDS)
    reading: list[asyncio.Task[list[float]]] = []
    for _ in range(streams):
        reading.append(asyncio.create_task(read(tokens)))
        await asyncio.sleep(1 / OPENED_PER_SECOND)
    begin = time.perf_counter() + MARGIN_SECONDS / 2
    every = await asyncio.gather(*reading)
    jitters: list[float] = []
    for times in every:
        assert len(times) == tokens, (len(times), tokens)
        measured = [at for at in times if begin <= at < begin + MEASURED_SECONDS]
        jitters += (abs(later - at - PACE_SECONDS) for at, later in pairwise(measured))
    return jitters
