"""Listener for TLS: accepts connections and passes on those whose handshake succeeds.

asyncio's own server counts a connection only after its handshake, for which it leaves a client 60
s: connections that never finish one would use up the file descriptors.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from parley_core.http.connection_limits import ConnectionLimits
from parley_core.http.uvicorn_internals import WRITE_STALL_TIMEOUT_SECONDS
from parley_core.tls.tls_failures import reason_of

HANDSHAKE_SECONDS = 10.0
_ACCEPTED_AT_ONCE = 64
# As asyncio does, where the process has no file descriptor left.
_RETRY_SECONDS = 1.0
_LOG_INTERVAL_SECONDS = 60.0

_log = logging.getLogger(__name__)


class TlsListener:
    """Accepts on `sockets`, in the running event loop, until it is closed.

    `context` is called for each connection, so that certificates may be replaced. `limits` bounds
    the connections whose handshake is not complete.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext | None],
        limits: ConnectionLimits,
        *,
        backlog: int,
    ) -> None:
        self._protocol, self._context, self._limits = protocol, context, limits
        self._loop = asyncio.get_running_loop()
        self._sockets = [each.dup() for each in sockets]
        self._handshakes: set[asyncio.Task[None]] = set()
        self._failed, self._next_log = 0, 0.0
        for each in self._sockets:
            each.setblocking(False)
            each.listen(backlog)
            self._loop.add_reader(each, self._accept, each)

    def close(self) -> None:
        """Accept nothing more, and give up the handshakes that are not complete."""
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.error("cannot accept connections: %s", error.strerror)
                self._loop.remove_reader(listening)
                self._loop.call_later(_RETRY_SECONDS, self._resume, listening)
                return
            if not self._limits.admit(peer[0]):
                accepted.close()
                continue
            handshake = self._loop.create_task(self._shake_hands(accepted, peer[0]))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    async def _shake_hands(self, accepted: socket.socket, address: str) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                # After this, closing a connection drops what the client has not read yet.
                ssl_shutdown_timeout=WRITE_STALL_TIMEOUT_SECONDS,
            )
        except (OSError, TimeoutError) as error:
            self._report(error, address)
        finally:
            self._limits.release(address)

    def _report(self, error: Exception, address: str) -> None:
        self._failed += 1
        now = self._loop.time()
        if now >= self._next_log:
            reason = reason_of(error) or type(error).__name__
            _log.warning(
                "%d TLS handshakes failed, the last one with %s: %s", self._failed, address, reason
            )
            self._failed, self._next_log = 0, now + _LOG_INTERVAL_SECONDS
