"""`python -m parley_session` in a separate process, which may be killed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from parley_cli.engines import free_port
from parley_testing.peers import SERVICE_KEYS
from parley_testing.processes import started, until_ready
from parley_testing.serving import client_session
from session_support.client import Client
from session_support.service import MASTER_KEY, NO_KAFKA


def variables(database: str, **settings: Any) -> dict[str, str]:
    """Settings by their names, as PARLEY_* variables; an empty one counts as not set."""
    given = {
        "session_database_url": database,
        "kafka_bootstrap_servers": NO_KAFKA,
        "service_keys": SERVICE_KEYS,
        "master_key": MASTER_KEY,
        "session_default_model": "demo",
    }
    return {f"PARLEY_{name.upper()}": str(value) for name, value in (given | settings).items()}


@dataclass(frozen=True)
class Ended:
    code: int | None
    stdout: str
    stderr: str


Run = Callable[..., Awaitable[Ended]]
"""Runs a command on a database, with further settings."""


@dataclass
class SessionProcess(Client):
    process: asyncio.subprocess.Process

    async def kill(self) -> Ended:
        self.process.kill()
        return await self._ended()

    async def terminate(self) -> Ended:
        self.process.terminate()
        return await self._ended()

    async def _ended(self) -> Ended:
        stdout, stderr = await self.process.communicate()
        return Ended(self.process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def session_process(database: str, **settings: Any) -> AsyncIterator[SessionProcess]:
    """A process that is ready; it is killed at the end of the block."""
    port = free_port()
    given = variables(database, session_port=port, **settings)
    process = await started("parley_session", "serve", **given)
    try:
        async with client_session() as http:
            served = SessionProcess(f"http://127.0.0.1:{port}", http, process)
            await until_ready(process, served.url)
            yield served
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
