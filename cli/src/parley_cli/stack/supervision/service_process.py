"""A service as a child process, ready when its readiness endpoint answers 200."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parley_cli.engines import EngineError
from parley_cli.engines.errors import os_errors_as_engine_errors
from parley_cli.engines.ports import require_free
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.stack.supervision.http_probe import get

FIRST_START_TIMEOUT_SECONDS = 60.0
INVALID_SETTINGS_EXIT_CODE = 2


@dataclass(frozen=True)
class ProcessSpec:
    """A program to run with its whole environment, and its address, if it listens.

    `management` is the address of its probes if they have another one.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    address: str = ""
    management: str = ""
    ready_path: str = "/readyz"


def python_module(*arguments: str) -> tuple[str, ...]:
    """The command that runs a module."""
    # -P: modules in the working directory are never imported.
    return (sys.executable, "-P", "-m", *arguments)


class InvalidServiceSettings(EngineError):
    """A service rejected its settings; the message is its own."""

    exit_code = 2


class ServiceProcess:
    def __init__(self, spec: ProcessSpec, data: Path) -> None:
        self.name, self.address = spec.name, spec.address
        self._probed = spec.management or spec.address
        self.child = ChildProcess(spec.name, data)
        self._spec, self._data = spec, data
        self._start_timeout = FIRST_START_TIMEOUT_SECONDS
        self._not_ready_body = b""

    async def start(self) -> None:
        """Start the service and wait until it is ready. Raises EngineError."""
        with os_errors_as_engine_errors(self.name):
            await self.child.wait_for_previous_run()
            for address in {self.address, self._probed}:
                require_free(int(address.rpartition(":")[2]), self.name)
            await self.child.start(
                self._spec.command, self._data, environment=self._spec.environment
            )
        try:
            await self.child.wait_ready(self._is_ready, self._start_timeout)
        except EngineError as error:
            raise await self._with_explanation(error) from error
        # A restarted service may have to wait for another one that is down.
        self._start_timeout = math.inf

    async def stop(self, timeout: float) -> None:
        await self.child.stop(timeout)

    async def _is_ready(self) -> bool:
        if (response := await get(self._probed, self._spec.ready_path)) is None:
            return False
        status, body = response
        self._not_ready_body = b"" if status == 200 else body
        return status == 200

    async def _with_explanation(self, error: EngineError) -> EngineError:
        if self.child.is_running:
            body = self._not_ready_body.decode(errors="replace")
            return EngineError(f"{error} Last readiness response: {body}") if body else error
        if await self.child.wait() == INVALID_SETTINGS_EXIT_CODE:
            return InvalidServiceSettings(
                f"{self.name}: " + "\n".join(self.child.log.last_lines(5))
            )
        return error
