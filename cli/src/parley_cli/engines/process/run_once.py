"""Runs a child process to completion, such as initdb."""

import pwd
from collections.abc import Sequence
from pathlib import Path

from parley_cli.engines.errors import EngineError
from parley_cli.engines.process.child_process import ChildProcess


async def run_once(
    child: ChildProcess,
    command: Sequence[str],
    folder: Path,
    *,
    failure: str,
    user: pwd.struct_passwd | None = None,
) -> None:
    """Raise EngineError with `failure` and an explanation unless the exit code is 0."""
    try:
        await child.start(command, folder, user)
        if await child.wait():
            raise EngineError(f"{failure}: {child.log.explanation()}")
    finally:
        await child.stop()
