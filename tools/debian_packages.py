"""Programs from the PATH, or unpacked from packages of Debian or Ubuntu.

The packages are not installed, as that would start a server of the machine.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".parley" / "tools"


def find_program(program: str, packages: Sequence[str]) -> Path | None:
    """The first of `packages` has the program, in `usr/bin` or `usr/sbin`; the rest, libraries."""
    if installed := shutil.which(program):
        return Path(installed)
    files = FOLDER / packages[0]
    if not files.exists() and shutil.which("apt-get"):
        _unpack(packages, files)
    found = (files / "usr" / folder / program for folder in ("bin", "sbin"))
    return next((each for each in found if each.exists()), None)


def library_path(program: Path) -> dict[str, str]:
    """The variables with which a program of `find_program` finds the libraries beside it."""
    libraries = program.parents[1] / "lib" / f"{os.uname().machine}-linux-gnu"
    return {"LD_LIBRARY_PATH": str(libraries)} if FOLDER in program.parents else {}


def _unpack(packages: Sequence[str], target: Path) -> None:
    """Unpack the packages, if the machine knows them; on a bare machine, read the lists first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder = Path(temporary)
        if not _download(packages, folder) and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "--quiet=2"], stderr=subprocess.DEVNULL)
            _download(packages, folder)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder / "files"], check=True)
        # Renamed when complete; another process may be faster.
        with contextlib.suppress(OSError):
            (folder / "files").rename(target)


def _download(packages: Sequence[str], folder: Path) -> bool:
    command = ["apt-get", "download", "--quiet=2", *packages]
    downloaded = subprocess.run(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return downloaded.returncode == 0
