"""promtool and Prometheus: from the PATH, or unpacked from the package of Debian or Ubuntu.

The package is not installed, as it would start a Prometheus of the machine.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(".parley/tools/prometheus")
PACKAGE = "prometheus"


def find_promtool() -> Path | None:
    return _find("promtool")


def find_prometheus() -> Path | None:
    return _find("prometheus")


def run_promtool(promtool: Path, arguments: Sequence[str | Path]) -> str:
    """The output if promtool found an error, else nothing."""
    finished = subprocess.run(
        [promtool, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return finished.stdout if finished.returncode else ""


def _find(program: str) -> Path | None:
    if installed := shutil.which(program):
        return Path(installed)
    unpacked = FOLDER / "usr" / "bin" / program
    if not unpacked.exists() and shutil.which("apt-get"):
        _unpack()
    return unpacked if unpacked.exists() else None


def _unpack() -> None:
    """Unpack the package, if the machine knows it; on a bare machine, read the lists first."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as temporary:
        folder = Path(temporary)
        if not _download(folder) and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "--quiet=2"], stderr=subprocess.DEVNULL)
            _download(folder)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder / "files"], check=True)
            # Renamed when complete; another process may be faster.
            with contextlib.suppress(OSError):
                (folder / "files").rename(FOLDER)


def _download(folder: Path) -> bool:
    command = ["apt-get", "download", "--quiet=2", PACKAGE]
    downloaded = subprocess.run(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return downloaded.returncode == 0
