"""Process group: starts processes in dependency order, supervises them, stops them in stages."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from parley_cli.stack.state_file import RunningProcess
from parley_cli.stack.supervision.startup_steps import Step, run_steps, task_group
from parley_cli.stack.supervision.supervisor import (
    DEFAULT_RESTART_POLICY,
    RestartPolicy,
    SupervisedProcess,
    keep_running,
)

LOG_ROTATION_INTERVAL_SECONDS = 60.0


@dataclass(frozen=True)
class ManagedProcess:
    """A process, the steps and processes that it depends on, and the stage of its stop.

    `management` is the address of its probes and metrics, if it has any.
    """

    process: SupervisedProcess
    depends_on: tuple[str, ...] = ()
    stop_stage: int = 0
    management: str = ""


class ProgressReporter(Protocol):
    def starting(self, names: Sequence[str]) -> None: ...
    def ready(self, name: str, seconds: float, address: str) -> None: ...
    def warning(self, text: str) -> None: ...


class ProcessGroup:
    """`on_change` is called when a process has a new ID; `after_start` once all are ready."""

    def __init__(
        self,
        members: Sequence[ManagedProcess],
        preparations: Sequence[Step],
        reporter: ProgressReporter,
        on_change: Callable[[], None] = lambda: None,
        after_start: Callable[[], Awaitable[None]] | None = None,
        restart_policy: RestartPolicy = DEFAULT_RESTART_POLICY,
    ) -> None:
        self._members, self._preparations = members, preparations
        self._reporter, self._on_change = reporter, on_change
        self._after_start, self._restart_policy = after_start, restart_policy

    async def run(self, on_started: Callable[[], None]) -> None:
        """Start all processes and supervise them until cancelled. Raises EngineError.

        Call `stop` afterwards, however this ends.
        """
        self._reporter.starting([member.process.name for member in self._members])
        async with task_group() as supervisors:

            def step(member: ManagedProcess) -> Step:
                async def start() -> None:
                    await self._start_and_supervise(member.process, supervisors)

                return Step(member.process.name, start, member.depends_on)

            await run_steps([*self._preparations, *map(step, self._members)])
            on_started()
            supervisors.create_task(self._rotate_logs())
            if self._after_start:
                await self._after_start()

    async def stop(self, stage_timeouts: Sequence[float], timeout: float) -> None:
        """Stop the members stage by stage, each within its timeout, and all within `timeout`."""
        deadline = time.monotonic() + timeout
        for stage, seconds in enumerate(stage_timeouts):
            limit = max(0.0, min(seconds, deadline - time.monotonic()))
            processes = [m.process for m in self._members if m.stop_stage == stage]
            await asyncio.gather(*(process.stop(limit) for process in processes))

    def kill(self) -> None:
        for member in self._members:
            member.process.child.kill()

    def running(self) -> list[RunningProcess]:
        return [
            RunningProcess(
                member.process.name,
                member.process.child.pid,
                member.process.address,
                member.management,
            )
            for member in self._members
            if member.process.child.is_running
        ]

    async def _start_and_supervise(
        self, process: SupervisedProcess, supervisors: asyncio.TaskGroup
    ) -> None:
        def on_ready(seconds: float) -> None:
            self._reporter.ready(process.name, seconds, process.address)
            self._on_change()

        started_at = time.monotonic()
        await process.start()
        on_ready(time.monotonic() - started_at)
        # Supervised from now on: other processes may take a while to start.
        supervisors.create_task(
            keep_running(
                process,
                on_warning=self._reporter.warning,
                on_ready=on_ready,
                policy=self._restart_policy,
            )
        )

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_ROTATION_INTERVAL_SECONDS)
            for member in self._members:
                member.process.child.log.rotate_if_large()
