"""How long `parley up` takes until the stack is ready, and what each process holds when idle."""

import asyncio

from benchmarks.memory import resident
from benchmarks.running_stack import a_folder, fake_model, running_stack
from benchmarks.table import Line, print_table

IDLE_SECONDS = 3


async def run() -> None:
    async with a_folder() as data, fake_model() as model:
        async with running_stack(data, model) as stack:
            first = stack.seconds
        async with running_stack(data, model) as stack:
            later = stack.seconds
            await asyncio.sleep(IDLE_SECONDS)
            memory = {p["name"]: resident(p["pid"]) for p in await stack.processes()}
    lines = [
        Line("from `parley up` to ready, new data folder", f"{first:.1f} s"),
        Line("from `parley up` to ready, later", f"{later:.1f} s"),
        *[Line(f"idle memory, {name}", f"{size:.0f} MB") for name, size in memory.items()],
        Line("idle memory, all", f"{sum(memory.values()):.0f} MB"),
    ]
    print_table("Start and idle memory (resident, with the children of each process)", lines)
