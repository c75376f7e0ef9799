"""`python -m parley_session` as a process of its own, which may be killed."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from session_peers.client import SECRET, Client
from session_peers.eventually import eventually
from session_peers.service import MASTER_KEY, NO_KAFKA, client_session


def environment(database: str, **settings: Any) -> dict[str, str]:
    """Settings by their names, as PARLEY_* variables; one that is empty is not set."""
    given = {
        "session_database": database,
        "kafka": NO_KAFKA,
        "internal_secret": SECRET,
        "master_key": MASTER_KEY,
        "model": "demo",
    }
    named = {f"PARLEY_{name.upper()}": str(value) for name, value in (given | settings).items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)} | named


@dataclass(frozen=True)
class Ended:
    code: int | None
    said: str
    complained: str


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
        said, complained = await self.process.communicate()
        return Ended(self.process.returncode, said.decode(), complained.decode())


@asynccontextmanager
async def session_process(database: str, **settings: Any) -> AsyncIterator[SessionProcess]:
    """Ready to be called; killed at the end unless it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "parley_session", "serve"),
        env=environment(database, session_port=port, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with client_session() as http:
            served = SessionProcess(f"http://127.0.0.1:{port}", http, process)
            await eventually(lambda: _is_ready(served), within=30)
            yield served
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _is_ready(served: SessionProcess) -> bool:
    assert served.process.returncode is None, "it ended while starting"
    with suppress(aiohttp.ClientError):
        async with served.http.get(served.url + "/readyz") as answer:
            return answer.status == 200
    return False
