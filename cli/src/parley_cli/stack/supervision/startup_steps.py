"""Runs steps as early as each may: every one waits only for those that it needs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    name: str
    do: Callable[[], Awaitable[None]]
    needs: tuple[str, ...] = ()


async def run_steps(steps: Sequence[Step]) -> None:
    """Return once all are done; the first error ends the others, and is raised as it is."""
    done = {step.name: asyncio.Event() for step in steps}

    async def run(step: Step) -> None:
        for name in step.needs:
            await done[name].wait()
        await step.do()
        done[step.name].set()

    async with task_group() as group:
        for step in steps:
            group.create_task(run(step), name=step.name)


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises its first error as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
