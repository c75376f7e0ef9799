"""Process supervisor: restarts a process that ends, with exponential backoff and a limit."""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from parley_cli.engines import EngineError
from parley_cli.engines.process.child_process import ChildProcess
from parley_core.runtime.backoff import backoff_delay


class SupervisedProcess(Protocol):
    """A child process with its own start and readiness; `address` is host:port."""

    name: str

    @property
    def address(self) -> str: ...
    @property
    def child(self) -> ChildProcess: ...

    async def start(self) -> None: ...
    async def stop(self, timeout: float) -> None: ...


@dataclass(frozen=True)
class RestartPolicy:
    """Gives up when a process ends `max_exits` times within the window."""

    max_exits: int = 5
    window_seconds: float = 60
    initial_delay_seconds: float = 0.2
    max_delay_seconds: float = 5
    log_lines: int = 10


DEFAULT_RESTART_POLICY = RestartPolicy()


class RestartLimitReached(EngineError):
    """The message ends with the last lines of the process's log."""


async def keep_running(
    process: SupervisedProcess,
    *,
    on_warning: Callable[[str], None],
    on_ready: Callable[[float], None],
    policy: RestartPolicy = DEFAULT_RESTART_POLICY,
) -> None:
    """Restart a started process each time it ends. Raises RestartLimitReached.

    `on_ready` receives the seconds that a restart took; `on_warning`, a line about each exit.
    """
    exits: deque[float] = deque(maxlen=policy.max_exits)
    while True:
        code = await process.child.wait()
        exits.append(time.monotonic())
        recent = sum(exits[-1] - each < policy.window_seconds for each in exits)
        if recent == policy.max_exits:
            raise _limit_reached(process, policy)
        delay = backoff_delay(recent, policy.initial_delay_seconds, policy.max_delay_seconds)
        on_warning(f"{process.name} ended ({_exit_reason(code)}); restarting in {delay:.1f} s")
        await asyncio.sleep(delay)
        started_at = time.monotonic()
        try:
            await process.start()
        except EngineError as error:
            on_warning(str(error))
            # A process that runs without becoming ready counts as ended, too.
            await process.stop(2)
        else:
            on_ready(time.monotonic() - started_at)


def _exit_reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _limit_reached(process: SupervisedProcess, policy: RestartPolicy) -> RestartLimitReached:
    lines = "\n".join(f"  {line}" for line in process.child.log.last_lines(policy.log_lines))
    return RestartLimitReached(
        f"{process.name} ended {policy.max_exits} times within {policy.window_seconds:.0f} s. "
        f"The stack was stopped. Last lines of {process.child.log.path}:\n{lines}"
    )
