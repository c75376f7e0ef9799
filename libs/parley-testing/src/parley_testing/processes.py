"""Starts `python -m parley_…` as a child process, which a test may kill."""

import asyncio
import os
import sys
from contextlib import suppress

import aiohttp

from parley_testing.eventually import eventually

START_SECONDS = 30


def environment_with(**settings: str) -> dict[str, str]:
    """This process's environment with these PARLEY_* settings only."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")
    }
    return inherited | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings


async def started(module: str, *command: str, **settings: str) -> asyncio.subprocess.Process:
    """Start `python -m module command…` with its output connected to pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *command),
        env=environment_with(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def until_ready(process: asyncio.subprocess.Process, url: str) -> None:
    """Wait until `/readyz` answers 200; fails at once if the process exits."""

    async def is_ready() -> bool:
        assert process.returncode is None, "the process exited while starting"
        with suppress(aiohttp.ClientError):
            async with http.get(f"{url}/readyz") as answer:
                return answer.status == 200
        return False

    async with aiohttp.ClientSession() as http:
        await eventually(is_ready, within=START_SECONDS)
