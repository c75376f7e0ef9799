"""Keeps processes running: a dead one is started again, one that keeps dying ends everything."""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from parley_cli.engines import EngineError
from parley_cli.engines.process.child_process import ChildProcess


class Supervised(Protocol):
    """A process with its own way of being started and ready; `address` is host:port."""

    name: str

    @property
    def address(self) -> str: ...
    @property
    def child(self) -> ChildProcess: ...

    async def start(self) -> None: ...
    async def stop(self, limit: float) -> None: ...


@dataclass(frozen=True)
class RestartPolicy:
    """How much dying is borne: `deaths` within `seconds` are too many; pauses double."""

    deaths: int = 5
    seconds: float = 60
    first_pause: float = 0.2
    log_lines: int = 10


PATIENCE = RestartPolicy()


class RestartLimitReached(EngineError):
    """The message ends with the last lines of the process's log."""


async def keep_running(
    process: Supervised,
    *,
    tell: Callable[[str], None],
    on_ready: Callable[[float], None],
    patience: RestartPolicy = PATIENCE,
) -> None:
    """Watch a started process and start it again each time it ends. Raises RestartLimitReached.

    `on_ready` is given the seconds that a start took; `tell`, a line about each end.
    """
    deaths: deque[float] = deque(maxlen=patience.deaths)
    while True:
        code = await process.child.wait()
        deaths.append(time.monotonic())
        recent = sum(deaths[-1] - death < patience.seconds for death in deaths)
        if recent == patience.deaths:
            raise _keeps_dying(process, patience)
        pause = patience.first_pause * 2 ** (recent - 1)
        tell(f"{process.name} ended ({_how(code)}) and is started again in {pause:.1f} s.")
        await asyncio.sleep(pause)
        began = time.monotonic()
        try:
            await process.start()
        except EngineError as failed:
            tell(str(failed))
            # One that runs but does not become ready counts as dead too.
            await process.stop(2)
        else:
            on_ready(time.monotonic() - began)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _keeps_dying(process: Supervised, patience: RestartPolicy) -> RestartLimitReached:
    lines = "\n".join(f"  {line}" for line in process.child.log.last_lines(patience.log_lines))
    return RestartLimitReached(
        f"{process.name} ended {patience.deaths} times within {patience.seconds:.0f} s, so "
        f"everything is stopped. The end of {process.child.log.path}:\n{lines}"
    )
