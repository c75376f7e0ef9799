"""Migrations of a stack: by the roles that own the databases, which no service has."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from parley_cli.engines import EngineError
from parley_cli.engines.errors import os_errors_as_engine_errors
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.stack.supervision.service_process import (
    INVALID_SETTINGS_EXIT_CODE,
    InvalidServiceSettings,
    python_module,
)
from parley_cli.stack.supervision.startup_steps import Step


def migration_step(service: str, environment: Mapping[str, str], data: Path) -> Step:
    """Runs `migrate` of session or history, while its processes start and wait for it."""
    name = f"{service}-migrate"
    return Step(name, partial(_migrate, service, name, environment, data), ("databases",))


async def _migrate(service: str, name: str, environment: Mapping[str, str], data: Path) -> None:
    child = ChildProcess(name, data)
    command = python_module(f"parley_{service}", "migrate")
    try:
        with os_errors_as_engine_errors(name):
            await child.start(command, data, environment=environment)
        match await child.wait():
            case 0:
                return
            case code if code == INVALID_SETTINGS_EXIT_CODE:
                lines = "\n".join(child.log.last_lines(5))
                raise InvalidServiceSettings(f"{service}: {lines}")
            case _:
                raise EngineError(f"{name} failed: {child.log.explanation()}")
    finally:
        await child.stop()
