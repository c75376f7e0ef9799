"""Rejects a request body over a limit before it is held in memory."""

import asyncio

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.http.errors import TooLarge, error_body

# A client that is still sending when its connection closes misses the response. So the rest of a
# body that is too large is received and dropped, within these bounds.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024
DISCARD_SECONDS = 10.0


class BodyLimitMiddleware:
    """Answers 413 `body_too_large` to a body over `limit` bytes.

    Starlette's middleware does the counting. It neither answers in Parley's error shape nor waits
    for a client that is still sending, which is left to this class. Belongs inside of
    RequestObserver, which gives the response its x-request-id.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._limited, self._limit = RequestBodyLimitMiddleware(app, limit), limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._limited(scope, receive, send)
            return
        body = _CountedBody(receive)
        declared = Headers(scope=scope).get("content-length", "0")
        is_declared_too_large = declared.isdecimal() and int(declared) > self._limit
        is_rejected = False

        def is_too_large() -> bool:
            return is_declared_too_large or body.received > self._limit

        async def send_unless_rejected(message: Message) -> None:
            nonlocal is_rejected
            if message["type"] == "http.response.start" and message["status"] == 413:
                is_rejected = is_too_large()
            if not is_rejected:
                await send(message)

        try:
            await self._limited(scope, body.receive, send_unless_rejected)
        except Exception:
            # The response has already begun; its end is all that can be withheld.
            if not is_too_large():
                raise
        if is_rejected:
            # Amid a body the connection cannot be used again; uvicorn would wait for the rest.
            headers = {} if await body.discard() else {"connection": "close"}
            error = TooLarge(f"The body is over {self._limit} bytes.", code="body_too_large")
            content = error_body(error.message, type=error.type, code=error.code)
            await JSONResponse(content, error.status, headers)(scope, receive, send)


class _CountedBody:
    def __init__(self, receive: Receive) -> None:
        self._receive, self._more = receive, True
        self.received = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message

    async def discard(self) -> bool:
        """Receive the rest of the body; return whether it ended within the bounds above."""
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while self._more and self.received <= MAX_DISCARDED_BYTES:
                    await self.receive()
        except TimeoutError:
            return False
        return not self._more
