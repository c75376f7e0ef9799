"""Benchmark of `parley up`: startup time and idle memory of each process."""

import asyncio

from benchmarks.servers.memory import resident_megabytes
from benchmarks.servers.running_stack import data_folder, fake_model, running_stack
from benchmarks.table import Row, print_table

IDLE_SECONDS = 3


async def run() -> None:
    async with data_folder() as data, fake_model() as model:
        async with running_stack(data, model) as stack:
            first = stack.startup_seconds
        async with running_stack(data, model) as stack:
            later = stack.startup_seconds
            await asyncio.sleep(IDLE_SECONDS)
            memory = {p["name"]: resident_megabytes(p["pid"]) for p in await stack.processes()}
    rows = [
        Row("`parley up` to ready, new data folder", f"{first:.1f} s"),
        Row("`parley up` to ready, later starts", f"{later:.1f} s"),
        *[Row(f"idle memory, {name}", f"{size:.0f} MB") for name, size in memory.items()],
        Row("idle memory, total", f"{sum(memory.values()):.0f} MB"),
    ]
    print_table("Startup and idle memory (resident, including child processes)", rows)
