"""What a stream on which nothing comes holds: a thousand of them, open on one gateway."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp

from benchmarks.memory import resident
from benchmarks.paced_talk import PacedTalk, until_token
from benchmarks.running_stack import RunningStack, a_folder, paced_model, running_stack
from benchmarks.table import Line, milliseconds, percentile, print_table

STREAMS, OPENED_PER_SECOND = 1_000, 80
WARMING, FIRSTS = 50, 40
SETTLED_SECONDS = 5
# After its first token a reply says nothing more, for as long as this takes.
SILENT_SECONDS = 3_600
SETTINGS = {
    "PARLEY_INFERENCE_MAX_TURNS": "2000",
    "PARLEY_INFERENCE_UPSTREAM_MAX_CONCURRENCY": "2000",
    "PARLEY_INFERENCE_UPSTREAM_BETWEEN_TOKENS_SECONDS": "600",
}
HOLDERS = ("gateway", "inference", "session", "redis")


async def run() -> None:
    async with (
        a_folder() as data,
        paced_model(SILENT_SECONDS) as model,
        running_stack(data, model, **SETTINGS) as stack,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as http,
    ):
        talk = PacedTalk(http, stack)
        for _ in range(WARMING):
            await talk.first_token()
        firsts = [await talk.first_token() for _ in range(FIRSTS)]
        before = await _held(stack)
        async with AsyncExitStack() as open_streams:
            await _open(talk, open_streams)
            await asyncio.sleep(SETTLED_SECONDS)
            after = await _held(stack)
            beside = [await talk.first_token() for _ in range(FIRSTS)]
    lines = [
        Line(
            f"memory for each stream, {name}",
            f"{1024 * (after[name] - before[name]) / STREAMS:.1f} kB",
            f"{before[name]:.0f} MB before, {after[name]:.0f} MB after",
        )
        for name in HOLDERS
        if name in before
    ]
    idle, busy = percentile(firsts, 50), percentile(beside, 50)
    lines.append(
        Line(
            "time to first token of another one, p50",
            milliseconds(busy),
            f"{milliseconds(idle)} before",
            idle / busy,
        )
    )
    print_table(f"{STREAMS:,} open streams on which nothing comes", lines)


async def _open(talk: PacedTalk, open_streams: AsyncExitStack) -> None:
    async def one() -> None:
        stream = talk.stream(await talk.new_session(), 2)
        await until_token(await open_streams.enter_async_context(stream))

    opening = []
    for _ in range(STREAMS):
        opening.append(asyncio.create_task(one()))
        await asyncio.sleep(1 / OPENED_PER_SECOND)
    await asyncio.gather(*opening)


async def _held(stack: RunningStack) -> dict[str, float]:
    """Megabytes, by the name of the process."""
    return {each["name"]: resident(each["pid"]) for each in await stack.processes()}
