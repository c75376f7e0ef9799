"""HTTP protocol that answers a repeated request before it is parsed.

Parsing a request and calling an ASGI application costs several times the lookup of a cached
response. Equal bytes at the start of a request are an equal request, so that an application may
remember the bytes of requests that it can answer again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from parley_core.http.uvicorn_internals import BoundedProtocol

REQUEST = "parley.request"
"""Extension of an ASGI scope: the `bytes` of a request without a body that came alone in a read."""

# Longer requests are rare, and comparing them costs more.
MAX_REQUEST_BYTES = 4 * 1024

Respond = Callable[[bytes | None], None]


class EarlyResponder(Protocol):
    prefix: bytes
    """The first bytes of all requests that may be remembered."""

    def respond(self, request: bytes, respond: Respond) -> bool:
        """Return whether `respond` will be called, in a later turn of the event loop.

        It is called once: with the whole response, after which the connection stays open, or with
        None, which means that the application has to answer.
        """


class EarlyResponseProtocol(BoundedProtocol):
    """Asks `responder` about each request that comes alone in one read.

    Only where nothing else of the connection waits for an answer; what the client sends before the
    response is kept, and reading is paused.
    """

    def __init__(self, *args: Any, responder: EarlyResponder, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._responder = responder
        # What a client sent before the response to its remembered request; None without one.
        self._sent_meanwhile: list[bytes] | None = None
        self._responded_at = 0.0
        self._is_draining = False

    def data_received(self, data: bytes) -> None:
        if self._sent_meanwhile is not None:
            self._sent_meanwhile.append(data)
            self.flow.pause_reading()
        elif not data.startswith(self._responder.prefix) or len(data) > MAX_REQUEST_BYTES:
            super().data_received(data)
        elif self._is_between_requests():
            if self._responder.respond(data, partial(self._respond, data)):
                self._sent_meanwhile = []
                return
            super().data_received(data)
            self._describe(data)
        else:
            super().data_received(data)

    def _describe(self, data: bytes) -> None:
        """Give the application, which has not run yet, the bytes of its request."""
        is_alone = self._is_between_messages() and data.endswith(b"\r\n\r\n")
        if is_alone and self._is_responding() and not self.pipeline:
            self.cycle.scope.setdefault("extensions", {})[REQUEST] = {"bytes": data}

    def _respond(self, data: bytes, response: bytes | None) -> None:
        sent_meanwhile, self._sent_meanwhile = self._sent_meanwhile or [], None
        if self.transport.is_closing():
            return
        if response is None:
            super().data_received(data)
        else:
            self.transport.write(response)
            self._keep_alive()
        self.flow.resume_reading()
        for each in sent_meanwhile:
            self.data_received(each)
        if self._is_draining:
            self.shutdown()

    def _keep_alive(self) -> None:
        # A timer for each response would cost as much as finding it.
        self._responded_at = self.loop.time()
        self._stop_timer()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def timeout_keep_alive_handler(self) -> None:
        left = self._responded_at + self.timeout_keep_alive - self.loop.time()
        if self._sent_meanwhile is None and left <= 0:
            super().timeout_keep_alive_handler()
            return
        self.timeout_keep_alive_task = self.loop.call_later(
            max(left, 1.0), self.timeout_keep_alive_handler
        )

    def shutdown(self) -> None:
        # The response to a remembered request is sent first.
        self._is_draining = self._sent_meanwhile is not None
        if not self._is_draining:
            super().shutdown()
