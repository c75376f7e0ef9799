"""A set of processes: started as early as each may, kept running, stopped in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from parley_cli.stack.state_file import RunningProcess
from parley_cli.stack.supervision.startup_steps import Step, run_steps, task_group
from parley_cli.stack.supervision.supervisor import (
    PATIENCE,
    RestartPolicy,
    Supervised,
    keep_running,
)

LOGS_CHECKED_EVERY = 60.0  # Seconds.


@dataclass(frozen=True)
class ManagedProcess:
    """A process, the steps or processes that must be done before it, and when it is stopped."""

    process: Supervised
    needs: tuple[str, ...] = ()
    stop_stage: int = 0


class ProgressReporter(Protocol):
    def starting(self, names: Sequence[str]) -> None: ...
    def ready(self, name: str, seconds: float, address: str) -> None: ...
    def trouble(self, text: str) -> None: ...


class Stack:
    """`on_change` is called whenever a process has a new id, `afterwards` once all have started."""

    def __init__(
        self,
        members: Sequence[ManagedProcess],
        preparations: Sequence[Step],
        teller: ProgressReporter,
        on_change: Callable[[], None] = lambda: None,
        afterwards: Callable[[], Awaitable[None]] | None = None,
        patience: RestartPolicy = PATIENCE,
    ) -> None:
        self._members, self._preparations = members, preparations
        self._teller, self._on_change, self._patience = teller, on_change, patience
        self._afterwards = afterwards

    async def run(self, on_started: Callable[[], None]) -> None:
        """Start everything, then keep it running until this is cancelled. Raises EngineError.

        Whatever way this ends, `stop` must follow.
        """
        self._teller.starting([member.process.name for member in self._members])
        async with task_group() as keeping:

            def step(member: ManagedProcess) -> Step:
                async def begin() -> None:
                    await self._begin(member.process, keeping)

                return Step(member.process.name, begin, member.needs)

            await run_steps([*self._preparations, *map(step, self._members)])
            on_started()
            keeping.create_task(self._keep_logs_small())
            if self._afterwards:
                await self._afterwards()

    async def stop(self, stages: Sequence[float], within: float) -> None:
        """Stop the members stage by stage, each stage within its seconds and all `within`."""
        deadline = time.monotonic() + within
        for stage, seconds in enumerate(stages):
            limit = max(0.0, min(seconds, deadline - time.monotonic()))
            processes = [m.process for m in self._members if m.stop_stage == stage]
            await asyncio.gather(*(process.stop(limit) for process in processes))

    def kill(self) -> None:
        for member in self._members:
            member.process.child.kill()

    def running(self) -> list[RunningProcess]:
        return [
            RunningProcess(process.name, process.child.pid, process.address)
            for process in (member.process for member in self._members)
            if process.child.runs
        ]

    async def _begin(self, process: Supervised, keeping: asyncio.TaskGroup) -> None:
        def on_ready(seconds: float) -> None:
            self._teller.ready(process.name, seconds, process.address)
            self._on_change()

        began = time.monotonic()
        await process.start()
        on_ready(time.monotonic() - began)
        # Watched from now on: others may still take a while to start.
        keeping.create_task(
            keep_running(
                process, tell=self._teller.trouble, on_ready=on_ready, patience=self._patience
            )
        )

    async def _keep_logs_small(self) -> None:
        while True:
            await asyncio.sleep(LOGS_CHECKED_EVERY)
            for member in self._members:
                member.process.child.log.keep_small()
