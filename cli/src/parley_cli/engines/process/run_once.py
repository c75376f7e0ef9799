"""A child process whose work is done when it ends: a data folder made, jars fetched."""

import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from parley_cli.engines.errors import EngineError
from parley_cli.engines.process.child_process import ChildProcess


async def run_to_end(
    child: ChildProcess,
    command: Sequence[str],
    folder: Path,
    *,
    trouble: str,
    user: pwd.struct_passwd | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Raise EngineError with `trouble` and the most telling line unless it ends with code 0."""
    try:
        await child.start(command, folder, user, environment)
        if await child.wait():
            raise EngineError(f"{trouble}: {child.log.most_telling_line()}")
    finally:
        await child.stop()
