"""Run of `parley trust`: makes this machine trust the certificates of its stack."""

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from parley_cli.errors import CommandError
from parley_cli.settings import DataSettings, load
from parley_cli.stack.certificates import StackCertificates

_DEBIAN_FOLDER = Path("/usr/local/share/ca-certificates")


def trust(options: argparse.Namespace) -> int:
    """Print and run the commands. Raises InvalidSettings, CommandError."""
    authority = StackCertificates(load(DataSettings).data).authority_file
    if not authority.is_file():
        raise CommandError(f"{authority} does not exist: run `parley up --tls` first.")
    commands = _commands(authority)
    if not commands and not options.print:
        raise CommandError(
            f"This system has none of the known commands that trust an authority: trust {authority}"
            " with its own, or pass the file to the client, as `curl --cacert` does."
        )
    for command in commands:
        print(shlex.join(command), flush=True)
        if not options.print:
            _run(command)
    print(
        "Firefox, and Chromium on Linux, trust authorities of their own: import "
        f"{authority} in their settings. A client such as curl may take it alone: "
        f"curl --cacert {shlex.quote(str(authority))} …",
        file=sys.stderr,
    )
    return 0


def _commands(authority: Path) -> list[Sequence[str]]:
    """The commands of this operating system, which may ask for a password."""
    if sys.platform == "darwin":
        keychain = str(Path.home() / "Library/Keychains/login.keychain-db")
        add = ("security", "add-trusted-cert", "-r", "trustRoot", "-k", keychain, str(authority))
        return [add]
    root = () if os.geteuid() == 0 else ("sudo",)
    if shutil.which("update-ca-certificates"):
        # One file for each authority: those of two data folders are trusted side by side.
        digest = hashlib.sha256(authority.read_bytes()).hexdigest()
        target = _DEBIAN_FOLDER / f"parley-{digest[:8]}.crt"
        copy = ("install", "-m", "644", str(authority), str(target))
        return [(*root, *copy), (*root, "update-ca-certificates")]
    if shutil.which("trust"):
        return [(*root, "trust", "anchor", str(authority))]
    return []


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, check=False)  # noqa: S603 - the command is ours
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be run: {error.strerror}.") from None
    if done.returncode != 0:
        raise CommandError(f"{command[0]} failed with exit code {done.returncode}.")
