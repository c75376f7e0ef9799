"""Limits the memory of request bodies: of each, and of all that a process has at once."""

import asyncio
from collections import Counter

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.auth.principal import Principal
from parley_core.http.errors import (
    ParleyError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    error_body,
)

# A client that is still sending when its connection closes misses the response. So the rest of a
# body that is too large is received and dropped, within these bounds.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024
DISCARD_SECONDS = 10.0
MAX_TOTAL_BYTES = 128 * 1024 * 1024
"""Bodies of a process at once, unless a setting says otherwise; once parsed, a body takes more."""
# Of the largest bodies, of 4 MiB, six at once.
MAX_PERSON_SHARE = 0.2

Person = tuple[str, str] | None
"""Tenant and user. None without a caller, and for a service that calls in its own name, thus for
everybody: only the total counts."""


class BodyBudget:
    """Bytes of the request bodies that a process has in memory, from their arrival to the answer.

    One person may have MAX_PERSON_SHARE of them, and always one body. `busy_code` is the code of
    the 503 that rejects a body for which there is no room.
    """

    def __init__(self, max_bytes: int, busy_code: str) -> None:
        self._max_bytes, self._busy_code = max_bytes, busy_code
        self._max_person_bytes = int(max_bytes * MAX_PERSON_SHARE)
        self.used, self._used_by = 0, Counter[Person]()

    def take(self, size: int, person: Person, *, of_this_body: int) -> None:
        """Count `size` bytes more of a body. Raises Unavailable or TooManyRequests."""
        used = self._used_by[person]
        if person and used > of_this_body and used + size > self._max_person_bytes:
            raise TooManyRequests(
                "Your other requests have as large bodies as one person may have at once. Retry "
                "when one has ended.",
                code="too_much_content",
            )
        if self.used + size > self._max_bytes:
            raise Unavailable(
                "The bodies of other requests take all the memory for them. Please retry.",
                code=self._busy_code,
            )
        self.used += size
        self._used_by[person] += size

    def release(self, size: int, person: Person) -> None:
        self.used -= size
        self._used_by[person] -= size
        if not self._used_by[person]:
            del self._used_by[person]


class BodyLimitMiddleware:
    """Answers 413 `body_too_large` to a body over `limit` bytes; 503 or 429 to one over the budget.

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
        body = _CountedBody(scope, receive, self._budget)
        declared = Headers(scope=scope).get("content-length", "0")
        is_declared_too_large = declared.isdecimal() and int(declared) > self._limit
        rejection: ParleyError | None = None

        def reason() -> ParleyError | None:
            if body.over_budget is not None:
                return body.over_budget
            is_too_large = is_declared_too_large or body.received > self._limit
            return _too_large(self._limit) if is_too_large else None

        async def send_unless_rejected(message: Message) -> None:
            nonlocal rejection
            if message["type"] == "http.response.start" and (
                body.over_budget is not None or message["status"] == 413
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


class _CountedBody:
    def __init__(self, scope: Scope, receive: Receive, budget: BodyBudget) -> None:
        self._scope, self._receive, self._budget = scope, receive, budget
        self._person: Person = None
        self._more = True
        self.received = self._taken = 0
        self.over_budget: ParleyError | None = None

    async def receive(self) -> Message:
        message, size = await self._next()
        if not self._taken:
            # Callers are authenticated before their body is read.
            self._person = _person_of(self._scope)
        if not size:
            return message
        try:
            self._budget.take(size, self._person, of_this_body=self._taken)
        except ParleyError as error:
            self.over_budget = error
            raise
        self._taken += size
        return message

    def release(self) -> None:
        """Return the bytes to the budget; the body is no longer referred to."""
        if self._taken:
            self._budget.release(self._taken, self._person)
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


def _person_of(scope: Scope) -> Person:
    principal: Principal | None = scope.get("state", {}).get("principal")
    if principal is None or principal.is_service:
        return None
    return principal.tenant, principal.user
