"""uvicorn subclasses, isolated here: an HTTP protocol with bounds, and a server that drains.

Read against the source of uvicorn 0.54.0; a test fails when another version is installed. Their
base classes are not documented as an API.

- Protocol: with httptools, uvicorn has no limit for the size of a request's head and no timeout for
  it, nor for a client that does not read (uvicorn issue 157, pull request 1684). A head without an
  end is kept in memory and copied again with every read: one client can stall the whole process.
- Server: on SIGTERM uvicorn waits for open connections before the shutdown of the application: open
  streams block the exit. At its end it raises the signal again, so the exit code is not 0.
"""

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import FrameType
from typing import Any
from uuid import uuid4

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from parley_core.http.errors import REQUEST_ID, error_body

SUPPORTED_VERSION = "0.54.0"

# Fits the longest token that the gateway accepts, and headers that proxies add.
MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_SECONDS = 30.0
# Without it, a response to a client that stopped reading stays in memory.
WRITE_STALL_TIMEOUT_SECONDS = 30.0

_log = logging.getLogger(__name__)


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose head (request line and headers) is too large or too slow.

    A head may have MAX_HEAD_BYTES beyond the read that it began in, and HEAD_TIMEOUT_SECONDS from
    its first byte (for the first head of a connection, from the connect). A response of which the
    client reads nothing for WRITE_STALL_TIMEOUT_SECONDS aborts the connection.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heads, self._head_is_open, self._head_bytes = 0, True, 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads_before = self._heads
        super().data_received(data)
        if self._head_is_open and self._heads == heads_before:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._reject(status, f"The headers exceed {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heads, self._head_is_open, self._head_bytes = self._heads + 1, True, 0
        self._start_head_timer()

    def on_headers_complete(self) -> None:
        self._head_is_open = False
        self._stop_head_timer()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_stall_timer()

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Respond in the common error shape; uvicorn's own response is plain text."""
        self._reject(HTTPStatus.BAD_REQUEST, msg)

    def _reject(self, status: HTTPStatus, message: str) -> None:
        body = error_body(message, type="invalid_request_error", code=status.name.lower())
        content = json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(content)}\r\n"
            f"{REQUEST_ID}: {uuid4().hex}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()

    def _start_stall_timer(self) -> None:
        self._stop_stall_timer()
        unread_before = self.transport.get_write_buffer_size()

        def abort_if_stalled() -> None:
            if self.transport.get_write_buffer_size() >= unread_before:
                self.transport.abort()
            else:
                self._start_stall_timer()

        self._stall_timer = self.loop.call_later(WRITE_STALL_TIMEOUT_SECONDS, abort_if_stalled)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class DrainingServer(uvicorn.Server):
    """Calls `on_shutdown` before it waits for open connections; an orderly exit has code 0."""

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_shutdown = on_shutdown

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Does not record the signal, unlike uvicorn's, which would raise it again at the end.
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for address in dict.fromkeys(each.getsockname()[:2] for each in sockets or []):
            _log.info("listening on http://%s:%d", *address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            self._on_shutdown()
        finally:
            await super().shutdown(sockets)
