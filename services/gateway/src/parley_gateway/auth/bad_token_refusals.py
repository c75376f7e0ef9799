"""ASGI middleware: refuses the tokens of an address that has sent too many bad ones.

The application would refuse them, too, but takes four times as long, and writes a line for each.
A client waits for its refusal, so that it sends no more than one bad token a second over each of
its connections, whose number is limited per address.
"""

import asyncio
import json
from collections.abc import Callable
from random import random
from secrets import token_hex
from time import perf_counter

from starlette.types import ASGIApp, Receive, Scope, Send

from parley_core.http.errors import REQUEST_ID, error_body
from parley_core.http.request_observer import UNMATCHED, log_request
from parley_core.process.request_metrics import RequestMetrics
from parley_gateway.auth.bad_token_limit import BadTokenLimit, TooManyBadTokens
from parley_gateway.auth.token_cache import VerifiedTokenCache

# Of the requests that are refused here, one in so many has a log line.
LOGGED_EVERY = 100
# At least, and twice that at most: clients that were refused together must not return together.
DELAY_SECONDS = 1.0

_REFUSAL = TooManyBadTokens()
_BODY = json.dumps(
    error_body(_REFUSAL.message, type=_REFUSAL.type, code=_REFUSAL.code, param=_REFUSAL.param)
).encode()
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    *((name.encode(), value.encode()) for name, value in _REFUSAL.headers.items()),
)


class BadTokenRefusals:
    """Passes on requests without a token, and those whose token was verified before."""

    def __init__(
        self,
        app: ASGIApp,
        limit: BadTokenLimit,
        tokens: VerifiedTokenCache,
        metrics: RequestMetrics,
        address_of: Callable[[Scope], str | None],
        on_response: Callable[[Scope, int], None],
    ) -> None:
        """`on_response` is called with the scope and the status of each refusal."""
        self._app, self._limit, self._tokens = app, limit, tokens
        self._metrics, self._on_response = metrics, on_response
        self._address_of = address_of
        self._refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._limit.is_limiting and self._refuses(scope):
            await self._refuse(scope, send)
        else:
            await self._app(scope, receive, send)

    def _refuses(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or given[0][:7].lower() != b"bearer ":
            return False
        return self._tokens.get(given[0]) is None and self._limit.refuses(scope)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        address = self._address_of(scope)
        # The connections of a trusted proxy are those of its other clients, too.
        if scope["client"] and address == scope["client"][0]:
            await asyncio.sleep(DELAY_SECONDS * (1 + random()))  # noqa: S311
        started_at, request_id = perf_counter(), token_hex(16)
        state = scope.setdefault("state", {})
        state["request_id"], state["error_code"] = request_id, _REFUSAL.code
        headers = [*_HEADERS, (REQUEST_ID.encode(), request_id.encode())]
        status = _REFUSAL.status
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": _BODY})
        self._on_response(scope, status)
        seconds = perf_counter() - started_at
        self._metrics.observe_request(scope["method"], UNMATCHED, status, _REFUSAL.code, seconds)
        if self._refused % LOGGED_EVERY == 0:
            fields = {"method": scope["method"], "route": UNMATCHED, "status": status}
            fields |= {"code": _REFUSAL.code, "client": address, "logged_every": LOGGED_EVERY}
            log_request(fields)
        self._refused += 1
