"""uvicorn's fast HTTP protocol, with bounds on a request's head, and on who does not read.

Without them a header that does not end is held in memory, and copied again with every piece of it
that comes: one client can stop the whole process.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from parley_core.http.errors import REQUEST_ID, error_body

# Holds the longest token that the gateway takes, and whatever proxies add.
HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
# An answer of which nothing is taken for so long is given up, or it stays in memory for ever.
UNREAD_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose head (request line and headers) is too large or too slow.

    A head may have HEAD_BYTES beyond the read that it began in. It has HEAD_SECONDS from its first
    byte on; the first of a connection, from the opening on.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._heads, self._head_is_open, self._head_bytes = 0, True, 0
        self._patience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose_patience()
        self._forget_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        earlier = self._heads
        super().data_received(data)
        if self._head_is_open and self._heads == earlier:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse(status, f"The headers are over {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heads, self._head_is_open, self._head_bytes = self._heads + 1, True, 0
        self._be_patient()

    def on_headers_complete(self) -> None:
        self._head_is_open = False
        self._lose_patience()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unread()

    def resume_writing(self) -> None:
        self._forget_unread()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """In the one shape of errors; uvicorn's own is plain text."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
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

    def _watch_unread(self) -> None:
        self._forget_unread()
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() >= before:
                self.transport.abort()
            else:
                self._watch_unread()

        self._unread = self.loop.call_later(UNREAD_SECONDS, look)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _be_patient(self) -> None:
        self._lose_patience()
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _lose_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
