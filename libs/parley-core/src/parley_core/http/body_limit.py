"""Limits the memory of request bodies: of each, and of all that a process has at once."""

import asyncio

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.http.errors import ParleyError, TooLarge, Unavailable, error_body

# A client that is still sending when its connection closes misses the response. So the rest of a
# body that is too large is received and dropped, within these bounds.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024
DISCARD_SECONDS = 10.0
MAX_TOTAL_BYTES = 128 * 1024 * 1024
"""Bodies of a process at once, unless a setting says otherwise; once parsed, a body takes more."""


class BodyBudget:
    """Bytes of the request bodies that a process has in memory, from their arrival to the answer.

    `busy_code` is the code of the 503 that rejects a body for which there is no room.
    """

    def __init__(self, max_bytes: int, busy_code: str) -> None:
        self._max_bytes, self.busy_code = max_bytes, busy_code
        self.used = 0

    def take(self, size: int) -> bool:
        """Return whether there was room for `size` bytes more."""
        if size and self.used + size > self._max_bytes:
            return False
        self.used += size
        return True


class BodyLimitMiddleware:
    """Answers 413 `body_too_large` to a body over `limit` bytes, and 503 to one over the budget.

    Starlette's middleware does the counting. It neither answers in Parley's error shape nor waits
    for a client that is still sending, which is left to this class. Belongs inside of
    RequestObserver, which gives the response its x-request-id.
    """

    def __init__(self, app: ASGIApp, limit: int, budget: BodyBudget) -> None:
        self._limited, self._limit = RequestBodyLimitMiddleware(app, limit), limit
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._limited(scope, receive, send)
            return
        body = _CountedBody(receive, self._budget)
        declared = Headers(scope=scope).get("content-length", "0")
        is_declared_too_large = declared.isdecimal() and int(declared) > self._limit
        rejection: ParleyError | None = None

        def reason() -> ParleyError | None:
            if body.over_budget:
                return _no_room(self._budget)
            is_too_large = is_declared_too_large or body.received > self._limit
            return _too_large(self._limit) if is_too_large else None

        async def send_unless_rejected(message: Message) -> None:
            nonlocal rejection
            if message["type"] == "http.response.start" and (
                body.over_budget or message["status"] == 413
            ):
                rejection = reason()
            if rejection is None:
                await send(message)

        try:
            await self._limited(scope, body.receive, send_unless_rejected)
        except Exception:
            # The response has already begun; its end is all that can be withheld.
            if reason() is None:
                raise
        finally:
            body.release()
        if rejection is not None:
            # Amid a body the connection cannot be used again; uvicorn would wait for the rest.
            headers = {} if await body.discard() else {"connection": "close"}
            content = error_body(rejection.message, type=rejection.type, code=rejection.code)
            response = JSONResponse(content, rejection.status, rejection.headers | headers)
            await response(scope, receive, send)


def _too_large(limit: int) -> ParleyError:
    return TooLarge(f"The body is over {limit} bytes.", code="body_too_large")


def _no_room(budget: BodyBudget) -> ParleyError:
    return Unavailable(
        "The bodies of other requests take all the memory for them. Please retry.",
        code=budget.busy_code,
    )


class _CountedBody:
    def __init__(self, receive: Receive, budget: BodyBudget) -> None:
        self._receive, self._budget, self._more = receive, budget, True
        self.received = self._taken = 0
        self.over_budget = False

    async def receive(self) -> Message:
        message, size = await self._next()
        if not self._budget.take(size):
            self.over_budget = True
            raise _no_room(self._budget)
        self._taken += size
        return message

    def release(self) -> None:
        """Return the bytes to the budget; the body is no longer referred to."""
        self._budget.used -= self._taken
        self._taken = 0

    async def discard(self) -> bool:
        """Receive the rest of the body; return whether it ended within the bounds above."""
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while self._more and self.received <= MAX_DISCARDED_BYTES:
                    await self._next()
        except TimeoutError:
            return False
        return not self._more

    async def _next(self) -> tuple[Message, int]:
        message = await self._receive()
        size = len(message.get("body", b""))
        self.received += size
        self._more = message.get("more_body", False)
        return message, size
