"""Benchmark of idle streams: memory per stream, with a thousand open on one gateway."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp

from benchmarks.load.paced_client import PacedClient, wait_for_token
from benchmarks.servers.memory import resident_megabytes
from benchmarks.servers.running_stack import RunningStack, data_folder, fake_model, running_stack
from benchmarks.table import Row, milliseconds, percentile, print_table

STREAMS, OPENED_PER_SECOND = 1_000, 80
WARMUP_TURNS, FIRST_TOKEN_SAMPLES = 50, 40
SETTLE_SECONDS = 5
# Longer than the benchmark: after its first token a reply stays idle.
TOKEN_INTERVAL_SECONDS = 3_600
SETTINGS = {
    # One person has all streams.
    "PARLEY_GATEWAY_MAX_PERSON_SHARE": "1",
    "PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "1",
    "PARLEY_INFERENCE_MAX_TURNS": "2000",
    "PARLEY_INFERENCE_UPSTREAM_MAX_CONCURRENCY": "2000",
    "PARLEY_INFERENCE_UPSTREAM_BETWEEN_TOKENS_SECONDS": "600",
}
MEASURED_PROCESSES = ("gateway", "inference", "session", "redis")


async def run() -> None:
    async with (
        data_folder() as data,
        fake_model(TOKEN_INTERVAL_SECONDS) as model,
        running_stack(data, model, **SETTINGS) as stack,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as http,
    ):
        client = PacedClient(http, stack)
        for _ in range(WARMUP_TURNS):
            await client.first_token()
        first_tokens = [await client.first_token() for _ in range(FIRST_TOKEN_SAMPLES)]
        before = await _memory_by_process(stack)
        async with AsyncExitStack() as open_streams:
            await _open(client, open_streams)
            await asyncio.sleep(SETTLE_SECONDS)
            after = await _memory_by_process(stack)
            first_tokens_with_load = [
                await client.first_token() for _ in range(FIRST_TOKEN_SAMPLES)
            ]
    rows = [
        Row(
            f"memory per stream, {name}",
            f"{1024 * (after[name] - before[name]) / STREAMS:.1f} kB",
            f"{before[name]:.0f} MB before, {after[name]:.0f} MB after",
        )
        for name in MEASURED_PROCESSES
        if name in before
    ]
    idle, busy = percentile(first_tokens, 50), percentile(first_tokens_with_load, 50)
    rows.append(
        Row(
            "time to first token of another stream, p50",
            milliseconds(busy),
            f"{milliseconds(idle)} before",
            idle / busy,
        )
    )
    print_table(f"{STREAMS:,} open idle streams", rows)


async def _open(client: PacedClient, open_streams: AsyncExitStack) -> None:
    async def open_stream() -> None:
        stream = client.stream(await client.new_session(), 2)
        await wait_for_token(await open_streams.enter_async_context(stream))

    opening = []
    for _ in range(STREAMS):
        opening.append(asyncio.create_task(open_stream()))
        await asyncio.sleep(1 / OPENED_PER_SECOND)
    await asyncio.gather(*opening)


async def _memory_by_process(stack: RunningStack) -> dict[str, float]:
    """Resident megabytes by process name."""
    return {each["name"]: resident_megabytes(each["pid"]) for each in await stack.processes()}
