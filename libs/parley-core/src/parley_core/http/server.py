"""How a service's process serves HTTP: uvicorn with bounded waits, and a drain before its exit."""

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from parley_core.http.bounded_protocol import BoundedProtocol

IDLE_CONNECTION_SECONDS = 75

# The loop accepts about one connection per turn and listening socket: while a thousand others keep
# it busy, one that comes to a lonely socket waits for seconds.
_LISTENING_SOCKETS = 64


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    shared_port: int | None = None,
    drain_seconds: int = 5,
    on_shutdown: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT; then `on_shutdown`, and open requests have `drain_seconds`.

    Other processes of the same user may listen at `shared_port` too: the system gives each
    connection there to one of them. `on_shutdown` runs once in the event loop, before uvicorn
    waits for open connections: whoever holds streams open ends them there, or the exit takes its
    whole limit. Then this returns. Raises SystemExit with 1 when it cannot listen; it is logged
    why.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
    )
    server = _DrainingServer(config, shared_port, on_shutdown)
    # What is loaded by now stays, and a batch of records lives for as long as it is worked on:
    # looked for by default, the rubbish among them costs up to a third of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        server.run()
    except SystemExit:
        raise SystemExit(1) from None


def configure_logging() -> None:
    """One line per entry on stderr, times in UTC."""
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # While an engine is away these complain many times a second, with tracebacks; whoever uses
    # them hears of it as an error, and says it once.
    for client in ("aiokafka", "asyncpg"):
        logging.getLogger(client).setLevel(logging.CRITICAL)


class _DrainingServer(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, shared_port: int | None, on_shutdown: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._shared_port, self._on_shutdown = shared_port, on_shutdown

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's, which raises the signal again at the end: an orderly exit has code 0.
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._shared_port is not None:
            self.servers.append(await self._listen_at(self._shared_port))
        for listening in [each for server in self.servers for each in server.sockets]:
            for _ in range(_LISTENING_SOCKETS - 1):
                self.servers.append(await self._listen_too(listening))

    async def _listen_at(self, shared_port: int) -> asyncio.Server:
        try:
            return await asyncio.get_running_loop().create_server(
                self._protocol,
                host=self.config.host,
                port=shared_port,
                backlog=self.config.backlog,
                reuse_port=True,
            )
        except OSError as error:
            # As uvicorn does at its own port.
            logging.getLogger("uvicorn.error").error(error)
            await self.lifespan.shutdown()
            sys.exit(1)

    async def _listen_too(self, listening: socket.socket) -> asyncio.Server:
        """Accept from the same queue through a socket of its own."""
        same = socket.fromfd(listening.fileno(), listening.family, listening.type)
        return await asyncio.get_running_loop().create_server(
            self._protocol, sock=same, backlog=self.config.backlog
        )

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            self._on_shutdown()
        finally:
            await super().shutdown(sockets)
