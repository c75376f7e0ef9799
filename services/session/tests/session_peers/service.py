"""A running session process (in this one), and a client of it."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvicorn

from parley_session.app import create_app
from parley_session.settings import SessionSettings
from session_peers.client import SECRET, Client
from session_peers.eventually import eventually

MASTER_KEY = "k1:" + base64.b64encode(b"m" * 32).decode()
# Where nothing listens: most tests need no log.
NO_KAFKA = "127.0.0.1:1"


@dataclass
class Service(Client):
    settings: SessionSettings


@asynccontextmanager
async def serve_session(database: str, **settings: Any) -> AsyncIterator[Service]:
    given = {
        "session_database": database,
        "kafka": NO_KAFKA,
        "internal_secret": SECRET,
        "master_key": MASTER_KEY,
        "model": "demo",
        "relay_publish_seconds": 2,
    }
    read = SessionSettings(**given | settings)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(read), log_config=None, timeout_graceful_shutdown=2)
    server = _Server(config)
    serving = asyncio.create_task(server._serve([listening]))
    try:
        async with client_session() as http:
            await eventually(lambda: server.started or serving.done())
            yield Service("http://{}:{}".format(*listening.getsockname()), http, read)
    finally:
        server.stop()
        await serving


def client_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


class _Server(uvicorn.Server):
    """Exits at once when asked to, where uvicorn looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._asked = asyncio.Event()

    def stop(self) -> None:
        self._asked.set()

    async def main_loop(self) -> None:
        await self._asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """At once: the client has left, where uvicorn waits a while for open connections."""
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()
