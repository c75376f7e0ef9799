"""HTTP protocol with bounds, a subclass of uvicorn's.

Read against the source of uvicorn 0.54.0; a test fails when another version is installed. Its base
class is not documented as an API.

With httptools, uvicorn has no limit for the size of a request's head and no timeout for it, nor for
a client that does not read (uvicorn issue 157, pull request 1684). A head without an end is kept in
memory and copied again with every read: one client can stall the whole process. The same holds for
the trailers of a chunked body, which uvicorn also appends to the headers of the request that the
application already reads.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from parley_core.http.body_limit import MAX_DISCARDED_BYTES
from parley_core.http.connection_limits import ConnectionLimits, refusal
from parley_core.http.errors import closing_response, error_body

SUPPORTED_VERSION = "0.54.0"

# Fits the longest token that the gateway accepts, and headers that proxies add.
MAX_HEAD_BYTES = 64 * 1024
# Applications search headers one by one; browsers and proxies send a few dozen.
MAX_HEADERS = 256
HEAD_TIMEOUT_SECONDS = 30.0
# A body may take the time of a head, and longer by its length at this rate: a slow mobile network.
MIN_BODY_BYTES_PER_SECOND = 16 * 1024
# Requests that wait for the response before theirs are in memory, and a read may hold thousands.
MAX_PIPELINED_REQUESTS = 16
# Without it, a response to a client that stopped reading stays in memory.
WRITE_STALL_TIMEOUT_SECONDS = 30.0

# The bounds are verified after each piece, and a read may have 256 KiB.
_PIECE_BYTES = 16 * 1024
# Not counted as framing, as in Go's net/http/internal/chunked.go: the size line of a chunk, and
# twice the chunk's own bytes.
_FREE_BYTES_PER_CHUNK = 16

_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


@dataclass(frozen=True, slots=True)
class ConnectionReuse:
    """When a connection serves no further request: at a maximum age, and while draining.

    A client that pools connections would otherwise never use a process that was added, and would
    call one that stops. Ages differ by a fifth, so that clients do not reconnect together.
    """

    max_seconds: float
    is_draining: Callable[[], bool]

    def age_limit(self) -> float:
        return self.max_seconds * random.uniform(0.8, 1.2)  # noqa: S311


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose requests are too large or too slow in anything but their content.

    - Framing: the head (request line and headers), line breaks before it, and after it chunk
      extensions, chunk sizes and trailers may each have MAX_HEAD_BYTES, to the precision of a
      piece. Trailers are discarded (RFC 9110, section 6.5.1).
    - Time: HEAD_TIMEOUT_SECONDS from the first byte to the end of the head (for the first head of
      a connection, from the connect), and from there as long for the rest of the request, plus a
      second for each MIN_BODY_BYTES_PER_SECOND of its body. Time during which the client has to
      wait for the application does not count.
    - A body that still arrives after its response may have MAX_DISCARDED_BYTES.
    - A response of which the client reads nothing for WRITE_STALL_TIMEOUT_SECONDS aborts the
      connection.

    The size of a body is the application's concern. `limits` refuses connections before any HTTP;
    `reuse` closes them after a response.
    """

    def __init__(
        self,
        *args: Any,
        limits: ConnectionLimits | None = None,
        reuse: ConnectionReuse | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._reuse = reuse
        self._closes_at = float("inf") if reuse is None else self.loop.time() + reuse.age_limit()
        self._limits, self._address, self._is_refused = limits, "", False
        self._head_is_open, self._has_begun = True, False
        # Counts heads and requests that ended, to notice those that end within a piece.
        self._ends, self._framing_bytes, self._body_bytes = 0, 0, 0
        # uvicorn's own `cycle` is the newest request; with pipelining, an older one is answered.
        self._running: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_started_at = 0.0
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self._limits is not None:
            peer = transport.get_extra_info("peername")
            self._address = peer[0] if peer else ""
            if not self._limits.admit(self._address):
                self._is_refused, self.transport = True, transport
                transport.write(refusal())
                transport.close()
                return
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_refused:
            return
        if self._limits is not None:
            self._limits.release(self._address)
        self._stop_timer()
        self._stop_stall_timer()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE_BYTES:
            self._piece_received(data)
            return
        for start in range(0, len(data), _PIECE_BYTES):
            if self.transport.is_closing():
                return
            self._piece_received(data[start : start + _PIECE_BYTES])

    def _piece_received(self, piece: bytes) -> None:
        ends = self._ends
        super().data_received(piece)
        is_amid = self._ends == ends
        self._framing_bytes = max(0, self._framing_bytes + len(piece) * is_amid)
        if self.transport.is_closing():
            return
        if self._framing_bytes > MAX_HEAD_BYTES:
            part = "headers" if self._head_is_open else "trailers or chunk extensions"
            self._reject(_TOO_LARGE, f"The {part} exceed {MAX_HEAD_BYTES} bytes.")
        elif self._timer is None and (is_amid or self._has_begun):
            self._start_timer()
        elif self._timer is None and not self._is_responding():
            # uvicorn stops its own timer at each read, and starts it at the end of a response only:
            # not if the response came before the end of the body.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            self._reject(
                HTTPStatus.BAD_REQUEST,
                f"Over {MAX_PIPELINED_REQUESTS} requests wait for the response before theirs.",
            )
            raise _Rejected
        super().on_message_begin()
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_is_open:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            self._reject(_TOO_LARGE, f"The request has over {MAX_HEADERS} headers.")
            raise _Rejected
        super().on_headers_complete()
        self._end(head_is_open=False)

    def on_chunk_header(self) -> None:
        self._framing_bytes -= _FREE_BYTES_PER_CHUNK

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._framing_bytes -= 3 * len(body)
        super().on_body(body)
        if self.cycle.response_complete and self._body_bytes > MAX_DISCARDED_BYTES:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._is_at_end():
            cycle.keep_alive = False  # uvicorn then responds with `connection: close`.
        super()._start_asgi_task(cycle, app)

    def _is_at_end(self) -> bool:
        """Whether the connection serves no request after the next one."""
        reuse = self._reuse
        return reuse is not None and (reuse.is_draining() or self.loop.time() >= self._closes_at)

    def on_message_complete(self) -> None:
        self._end(head_is_open=True)
        self._has_begun = False
        super().on_message_complete()

    def _end(self, *, head_is_open: bool) -> None:
        self._head_is_open = head_is_open
        self._ends += 1
        self._framing_bytes = self._body_bytes = 0
        self._stop_timer()

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
        if self.transport.is_closing():
            return
        running = self._running
        is_amid_response = (
            running is not None and running.response_started and not running.response_complete
        )
        is_answered = not self._head_is_open and self.cycle.response_started
        # The client would take a second response for the next one's, or for a part of this one.
        if not is_amid_response and not is_answered:
            self.transport.write(_response(status, message))
        self.transport.close()

    def _is_responding(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _is_between_messages(self) -> bool:
        """Whether the next byte is the first of a request."""
        return self._head_is_open and not self._has_begun and not self._framing_bytes

    def _is_between_requests(self) -> bool:
        """Whether the next byte begins a request that may be answered at once, and more follow."""
        return (
            self._is_between_messages()
            and not self._is_responding()
            and not self._is_at_end()
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _start_timer(self) -> None:
        self._timer_started_at = self.loop.time()
        self._timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        if self.flow.read_paused or (self._head_is_open and self._is_responding()):
            self._start_timer()
            return
        allowed = HEAD_TIMEOUT_SECONDS + self._body_bytes / MIN_BODY_BYTES_PER_SECOND
        left = self._timer_started_at + allowed - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._on_timeout)
        elif self._head_is_open:
            self.transport.close()
        else:
            self._reject(HTTPStatus.REQUEST_TIMEOUT, "The body arrives too slowly.")

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


def _response(status: HTTPStatus, message: str) -> bytes:
    body = error_body(message, type="invalid_request_error", code=status.name.lower())
    return closing_response(status, body)


class _Rejected(Exception):
    """Stops the parser, which takes it for an invalid request, after the connection was closed."""
