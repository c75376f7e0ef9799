"""One service as a child process, ready when it says so over HTTP."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parley_cli.engines import EngineError
from parley_cli.engines.errors import one_sentence
from parley_cli.engines.ports import require_free
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.stack.supervision.http_probe import get

FIRST_READY_SECONDS = 60.0
SETTINGS_WRONG = 2  # The exit code of a service that refuses its settings.


@dataclass(frozen=True)
class ProcessSpec:
    """A Python module to run, every variable that it gets, and where it listens, if it does."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    address: str = ""
    ready_path: str = "/readyz"

    @property
    def command(self) -> list[str]:
        # -P: what lies in the folder that it runs in is never imported.
        return [sys.executable, "-P", "-m", *self.arguments]


class InvalidServiceSettings(EngineError):
    """A service refuses its settings; the message is what it said."""


class ServiceProcess:
    def __init__(self, spec: ProcessSpec, data: Path) -> None:
        self.name, self.address = spec.name, spec.address
        self.child = ChildProcess(spec.name, data)
        self._spec, self._data = spec, data
        self._ready_within = FIRST_READY_SECONDS
        self._missing = b""

    async def start(self) -> None:
        """Return once it is ready. Raises EngineError, the first time also when it takes long."""
        with one_sentence(self.name):
            await self.child.wait_for_earlier()
            require_free(int(self.address.rpartition(":")[2]), self.name)
            await self.child.start(
                self._spec.command, self._data, environment=self._spec.environment
            )
        try:
            await self.child.wait_ready(self._answers, self._ready_within)
        except EngineError as failed:
            raise await self._explained(failed) from failed
        # Later it may have to wait for whatever else has died: not its own fault.
        self._ready_within = math.inf

    async def stop(self, limit: float) -> None:
        await self.child.stop(limit)

    async def _answers(self) -> bool:
        if (answer := await get(self.address, self._spec.ready_path)) is None:
            return False
        status, body = answer
        self._missing = b"" if status == 200 else body
        return status == 200

    async def _explained(self, failed: EngineError) -> EngineError:
        if self.child.runs:
            said = self._missing.decode(errors="replace")
            return EngineError(f"{failed} It last said: {said}") if said else failed
        if await self.child.wait() == SETTINGS_WRONG:
            return InvalidServiceSettings(
                f"{self.name}: " + "\n".join(self.child.log.last_lines(5))
            )
        return failed
