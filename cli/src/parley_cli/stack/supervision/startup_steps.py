"""Startup DAG: runs every step as soon as the steps that it depends on are done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    name: str
    run: Callable[[], Awaitable[None]]
    depends_on: tuple[str, ...] = ()


async def run_steps(steps: Sequence[Step]) -> None:
    """Run all steps; the first error cancels the others and is raised unchanged."""
    done = {step.name: asyncio.Event() for step in steps}

    async def run(step: Step) -> None:
        for name in step.depends_on:
            await done[name].wait()
        await step.run()
        done[step.name].set()

    async with task_group() as group:
        for step in steps:
            group.create_task(run(step), name=step.name)


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises its first error itself instead of an ExceptionGroup."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
