"""Serves an ASGI application in the test process, on a free port, and HTTP clients for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import uvicorn
from starlette.types import ASGIApp

from parley_core.http.protocol.early_responses import EarlyResponder
from parley_core.http.server import protocol_class
from parley_testing.eventually import eventually

START_SECONDS = 15
# Small, so that a client that does not read causes back-pressure soon.
SEND_BUFFER_BYTES = 16_384


class Server(uvicorn.Server):
    """Stops immediately, whereas uvicorn polls ten times a second and then waits."""

    def __init__(self, app: ASGIApp, protocol: Any) -> None:
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def main_loop(self) -> None:
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for listening in self.servers:
            listening.close()
        await self.lifespan.shutdown()


@dataclass(frozen=True)
class Served:
    url: str
    server: Server


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    small_send_buffer: bool = False,
    early_responder: EarlyResponder | None = None,
    protocol: Literal["httptools", "h11"] | None = None,
) -> AsyncIterator[Served]:
    """Serve the application within the block; the test may stop it earlier.

    `protocol` selects one of uvicorn's own in place of the services'.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    # asyncio sets it on sockets that it opens itself only. Without it, a response written in two
    # parts waits 40 ms for an acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if small_send_buffer:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    server = Server(app, protocol or protocol_class(early_responder))
    running = asyncio.create_task(server._serve([listening]))
    try:
        await eventually(lambda: server.started or running.done(), within=START_SECONDS)
        assert server.started, "the application ended while starting"
        yield Served("http://{}:{}".format(*listening.getsockname()), server)
    finally:
        # The server notices closed connections a moment later.
        with suppress(TimeoutError):
            await eventually(lambda: not server.server_state.connections, within=0.2)
        server.stop()
        await running


def client_session() -> aiohttp.ClientSession:
    """An HTTP client that opens a connection per request, without a limit."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
