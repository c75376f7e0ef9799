"""Refuses a request body over a limit before it is held in memory."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.http.errors import TooLarge, error_body

# A client still sending would miss an answer that comes with a closed connection, so a body that
# is too large is read on, up to here and for as long, and thrown away.
MOST_DISCARDED = 16 * 1024 * 1024
DISCARDING_SECONDS = 10.0

_DISCONNECT = {"type": "http.disconnect"}


class BodyLimitMiddleware:
    """Answers 413 `body_too_large` to a body over `limit` bytes.

    Belongs inside RequestIdMiddleware (added to the application before it), which gives the
    answer its x-request-id.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _CountedBody(receive)
        announced = Headers(scope=scope).get("content-length", "0")
        exceeded = announced.isdecimal() and int(announced) > self.limit
        answered = False

        async def receive_within_limit() -> Message:
            nonlocal exceeded
            message = _DISCONNECT if exceeded else await body.receive()
            exceeded = exceeded or body.received > self.limit
            # Not an exception: FastAPI answers one with 400, and task groups wrap it.
            return _DISCONNECT if exceeded else message

        async def send_unless_exceeded(message: Message) -> None:
            nonlocal answered
            if not exceeded:
                answered = True
                await send(message)

        if not exceeded:
            try:
                await self.app(scope, receive_within_limit, send_unless_exceeded)
            except ClientDisconnect:
                if not exceeded:
                    raise
        if exceeded and not answered:
            # Amid a body the connection cannot be used again; uvicorn would wait for the rest.
            headers = {} if await body.discard() else {"connection": "close"}
            refusal = TooLarge(f"The body is over {self.limit} bytes.", code="body_too_large")
            answer = error_body(refusal.message, type=refusal.type, code=refusal.code)
            await JSONResponse(answer, refusal.status, headers)(scope, receive, send)


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
        """Whether that came to the end of the body, within the bounds above."""
        try:
            async with asyncio.timeout(DISCARDING_SECONDS):
                while self._more and self.received <= MOST_DISCARDED:
                    await self.receive()
        except TimeoutError:
            return False
        return not self._more
