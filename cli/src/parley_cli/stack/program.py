"""The `parley` command as the user can type it."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path


def parley_command(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """A line for a shell in this working directory, where `parley` is seldom on the PATH."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
    program = Path(sys.argv[0])
    parley = ["python", "-m", "parley_cli"]
    if program.name == "parley":
        parley = [shlex.quote(os.path.relpath(program))]
    return " ".join([*variables, *parley, *arguments])
