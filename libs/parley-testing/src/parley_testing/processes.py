"""`python -m parley_…` as a process of its own, which may be killed."""

import asyncio
import os
import sys
from contextlib import suppress

import aiohttp

from parley_testing.eventually import eventually

START_SECONDS = 30


def environment_with(**settings: str) -> dict[str, str]:
    """This process's environment, with no PARLEY_* settings but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings


async def started(module: str, *command: str, **settings: str) -> asyncio.subprocess.Process:
    """`python -m module command…`; what it writes can be read from the process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *command),
        env=environment_with(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def until_ready(process: asyncio.subprocess.Process, url: str) -> None:
    """Until /readyz is answered with 200; fails at once when the process has ended."""

    async def is_ready() -> bool:
        assert process.returncode is None, "it ended while starting"
        with suppress(aiohttp.ClientError):
            async with http.get(f"{url}/readyz") as answer:
                return answer.status == 200
        return False

    async with aiohttp.ClientSession() as http:
        await eventually(is_ready, within=START_SECONDS)
