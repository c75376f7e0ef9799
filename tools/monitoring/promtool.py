"""promtool and Prometheus: from the PATH, or unpacked from the package of Debian or Ubuntu."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.debian_packages import find_program

_PACKAGES = ("prometheus",)


def find_promtool() -> Path | None:
    return find_program("promtool", _PACKAGES)


def find_prometheus() -> Path | None:
    return find_program("prometheus", _PACKAGES)


def run_promtool(promtool: Path, arguments: Sequence[str | Path]) -> str:
    """The output if promtool found an error, else nothing."""
    finished = subprocess.run(
        [promtool, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return finished.stdout if finished.returncode else ""
