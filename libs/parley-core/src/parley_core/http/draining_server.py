"""uvicorn server that waits for what its start needs, and that drains when it is asked to stop.

Read against the source of uvicorn 0.54.0, whose Server is not documented as an API. On SIGTERM
uvicorn waits for open connections before the shutdown of the application: open streams block the
exit. At its end it raises the signal again, so the exit code is not 0. During the start of the
application it is deaf to signals.
"""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import FrameType

import uvicorn

from parley_core.http.connection_limits import ConnectionLimits
from parley_core.process.process_state import ProcessState
from parley_core.tls.tls_listener import TlsListener

# What a second SIGTERM leaves to requests that run.
HURRIED_SECONDS = 5.0
_POLL_SECONDS = 0.1
_REPORT_INTERVAL_SECONDS = 10.0

_log = logging.getLogger(__name__)


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Tls:
    """`context` is that of the next connection; `handshakes` limits incomplete ones."""

    context: Callable[[], ssl.SSLContext | None]
    handshakes: ConnectionLimits


@dataclass(frozen=True, slots=True)
class Hooks:
    """What an application does beside serving; all run in the event loop.

    `prepare` runs before the application starts; a signal cancels it. `on_drain` runs once, after
    the lame duck: it must end open streams, or the exit takes the whole drain. `on_hurry` runs at a
    second SIGTERM.
    """

    prepare: Callable[[], Awaitable[None]] = _nothing
    on_drain: Callable[[], None] = lambda: None
    on_hurry: Callable[[], None] = lambda: None


class DrainingServer(uvicorn.Server):
    """Stops in this order: unready, lame duck, no more connections, drain, application shutdown.

    A second SIGTERM ends the lame duck, and the drain after HURRIED_SECONDS. An orderly exit has
    code 0.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        hooks: Hooks,
        state: ProcessState,
        beside: AbstractAsyncContextManager[None],
        *,
        lame_duck_seconds: float,
        tls: Tls | None = None,
    ) -> None:
        """`beside` is entered before everything else, and left last."""
        super().__init__(config)
        self._tls = tls
        self._hooks, self._state, self._beside = hooks, state, beside
        self._lame_duck_seconds = lame_duck_seconds
        self._hurried = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Does not record the signal, unlike uvicorn's, which would raise it again at the end.
        del frame
        if self.should_exit:
            self._hurried = True
            self.force_exit = sig == signal.SIGINT
        self.should_exit = True

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        async with self._beside:
            if await self._prepared():
                await super()._serve(sockets)

    async def _prepared(self) -> bool:
        preparing = asyncio.ensure_future(self._hooks.prepare())
        while not preparing.done() and not self.should_exit:
            await asyncio.wait({preparing}, timeout=_POLL_SECONDS)
        if not preparing.done():
            preparing.cancel()
            await asyncio.wait({preparing})
            return False
        await preparing
        return True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        sockets = sockets or []
        await super().startup([] if self._tls else sockets)
        if self._tls:
            self.servers.append(self._tls_listener(self._tls, sockets))  # type: ignore[arg-type]
        scheme = "https" if self._tls else "http"
        for address in dict.fromkeys(each.getsockname()[:2] for each in sockets):
            _log.info("listening on %s://%s:%d", scheme, *address)

    def _tls_listener(self, tls: Tls, sockets: list[socket.socket]) -> TlsListener:
        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        backlog = self.config.backlog
        return TlsListener(sockets, protocol, tls.context, tls.handshakes, backlog=backlog)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.draining = True
        await self._serve_as_lame_duck()
        try:
            self._hooks.on_drain()
        finally:
            watching = asyncio.create_task(self._watch())
            try:
                await super().shutdown(sockets)
            finally:
                watching.cancel()

    async def _serve_as_lame_duck(self) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._lame_duck_seconds
        while loop.time() < ends_at and not self._hurried:
            await self.on_tick(0)  # Updates the date header.
            await asyncio.sleep(_POLL_SECONDS)

    async def _watch(self) -> None:
        """Report what the exit waits for, and pass a second signal on, until cancelled."""
        loop = asyncio.get_running_loop()
        report_at, hurried = loop.time() + _REPORT_INTERVAL_SECONDS, False
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._hurried and not hurried:
                hurried = True
                self._hooks.on_hurry()
            if loop.time() >= report_at:
                report_at += _REPORT_INTERVAL_SECONDS
                _log.info("draining: %d requests are running", len(self.server_state.tasks))

    async def _wait_tasks_to_complete(self) -> None:
        """Raises TimeoutError, at which uvicorn cancels the requests."""
        completing = asyncio.create_task(super()._wait_tasks_to_complete())
        try:
            while not completing.done() and not self._hurried:
                await asyncio.wait({completing}, timeout=_POLL_SECONDS)
            await asyncio.wait_for(completing, HURRIED_SECONDS)
        finally:
            completing.cancel()
