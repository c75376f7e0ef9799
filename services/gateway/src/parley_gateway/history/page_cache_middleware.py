"""ASGI middleware that serves cached history pages before the application sees the request.

It inspects as little of a request as possible: nearly all of the time is spent in the server.
"""

from collections.abc import Callable, Iterable
from secrets import token_hex
from time import perf_counter
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.http.errors import REQUEST_ID, ParleyError
from parley_core.http.protocol.early_responses import REQUEST
from parley_core.http.request_observer import log_request
from parley_core.limits.refusals import LimitExceeded
from parley_core.process.request_metrics import RequestMetrics
from parley_gateway.auth.token_cache import VerifiedTokenCache, token_digest
from parley_gateway.history.conditional_get import page_messages
from parley_gateway.history.early_pages import PATH, EarlyPages, RememberedRequest
from parley_gateway.history.page_cache import Page, PageCache
from parley_gateway.history.version_lookup import VersionLookup
from parley_gateway.limits.limit_headers import set_limit_headers
from parley_gateway.limits.request_limits import RequestLimits

ROUTE = "/v1/history/{session_id}"
# Of the requests that are served from the cache, one in so many has a log line.
LOGGED_EVERY = 100

_REQUEST_ID = REQUEST_ID.encode()
# Requests with one of these headers go to the application.
_UNSUPPORTED = frozenset((_REQUEST_ID, b"content-length", b"transfer-encoding"))
# Requests with one of these headers are answered, but not remembered.
_SPECIAL = frozenset((b"origin", b"expect", b"upgrade"))


class PageCacheMiddleware:
    """Passes every request on that it cannot answer from the caches."""

    def __init__(
        self,
        app: ASGIApp,
        pages: PageCache,
        tokens: VerifiedTokenCache,
        versions: Callable[[], VersionLookup],
        metrics: RequestMetrics,
        limits: RequestLimits,
    ) -> None:
        """`versions` is called once the application has started."""
        self._app, self.cache, self._tokens = app, pages, tokens
        self._versions, self._metrics, self._limits = versions, metrics, limits
        self.early_pages = EarlyPages(
            pages, tokens, versions, self._record_hit, limits.count_request_now
        )
        self.lookups: dict[Literal["hit", "miss", "stale"], int] = {"hit": 0, "miss": 0, "stale": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PATH):
            started_at = perf_counter()
            messages = await self._cached_response(scope)
            if messages is not None:
                for message in messages:
                    await send(message)
                self._record_hit(perf_counter() - started_at)
                return
        await self._app(scope, receive, send)

    async def _cached_response(self, scope: Scope) -> Iterable[Message] | None:
        if scope["method"] != "GET":
            return None
        authorization = if_none_match = b""
        is_ordinary = scope["http_version"] == "1.1"
        for name, value in scope["headers"]:
            if name == b"authorization":
                if authorization:
                    return None  # The application rejects two of them.
                authorization = value
            elif name == b"if-none-match":
                if_none_match = if_none_match or value
            elif name in _UNSUPPORTED:
                return None
            elif name in _SPECIAL or (name == b"connection" and value.lower() != b"keep-alive"):
                is_ordinary = False
        verified = self._tokens.get(authorization)
        if verified is None:
            return None
        page = self.cache.get((verified.owner, scope["raw_path"], scope["query_string"]))
        if page is None or not await self._is_current(page):
            self.lookups["miss" if page is None else "stale"] += 1
            return None
        try:
            set_limit_headers(scope, await self._limits.count_request(verified.principal))
        except LimitExceeded:
            return None  # The application responds with it: until the minute ends, nothing changes.
        request = scope.get("extensions", {}).get(REQUEST)
        if is_ordinary and request is not None:
            digest, path, query = (
                token_digest(authorization),
                scope["raw_path"],
                scope["query_string"],
            )
            self.early_pages.remember(
                request["bytes"], RememberedRequest(digest, path, query, if_none_match)
            )
        return page_messages(page, if_none_match, (_REQUEST_ID, token_hex(16).encode()))

    def _record_hit(self, seconds: float) -> None:
        self.lookups["hit"] += 1
        self._metrics.observe_request("GET", ROUTE, 200, None, seconds)
        # A log line takes longer than the response.
        if self.lookups["hit"] % LOGGED_EVERY == 0:
            line = {"method": "GET", "route": ROUTE, "status": 200, "kind": "cached"}
            log_request({**line, "seconds": round(seconds, 4), "logged_every": LOGGED_EVERY})

    async def _is_current(self, page: Page) -> bool:
        try:
            return page.version >= await self._versions().current(page.session_id)
        except ParleyError:
            return False  # The application responds with the error.
