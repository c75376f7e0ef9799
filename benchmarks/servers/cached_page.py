"""A gateway's page cache alone, with one page, whose version it looks up in Redis or knows.

Run as `python -m benchmarks.servers.cached_page PORT FILE SESSION [REDIS_URL]`. It answers the
bearer token `benchmark`.
"""

import sys
import time
from pathlib import Path
from typing import cast
from uuid import UUID

from starlette.types import Receive, Scope, Send

from parley_core.auth.principal import Principal
from parley_core.http.server import serve
from parley_core.http.service_client import ServiceClient
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisSettings
from parley_core.storage.version_cache import VersionCache
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.history.conditional_get import parse_page
from parley_gateway.history.early_pages import PATH
from parley_gateway.history.page_cache import PageCache, PageCacheSettings
from parley_gateway.history.page_cache_middleware import PageCacheMiddleware
from parley_gateway.history.version_lookup import (
    REDIS_CONNECTIONS,
    REDIS_OPEN_SECONDS,
    REDIS_TIMEOUT_SECONDS,
    VersionLookup,
)
from parley_gateway.limits.gateway_limits import gateway_limits

VERSION, FOREVER_SECONDS = 21, 1e9


class KnownVersion:
    async def current(self, session_id: UUID) -> int:
        del session_id
        return VERSION


def version_lookup(redis_url: str) -> VersionLookup:
    redis = RedisWithCircuitBreaker(
        redis_url,
        timeout_seconds=REDIS_TIMEOUT_SECONDS,
        open_seconds=REDIS_OPEN_SECONDS,
        max_connections=REDIS_CONNECTIONS,
    )
    # The session service is not asked: Redis has the version.
    return VersionLookup(VersionCache(redis), cast(ServiceClient, None))


async def no_application(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def main(port: int, body: bytes, session_id: UUID, redis_url: str | None) -> None:
    pages = PageCache(PageCacheSettings(), clock=lambda: 0)  # The page does not expire.
    tokens = VerifiedTokenCache(FOREVER_SECONDS)
    owner = ("default", "benchmark")
    page = parse_page(session_id, body, f'W/"{VERSION}"')
    assert page is not None
    pages.put((owner, f"{PATH}{session_id}".encode(), b""), page)
    expires_at = time.time() + FOREVER_SECONDS
    tokens.put(b"Bearer benchmark", Principal(*owner), expires_at)
    lookup: list[VersionLookup] = []

    def versions() -> VersionLookup:
        # Redis is connected within the event loop.
        if not lookup:
            lookup.append(version_lookup(redis_url) if redis_url else cast(VersionLookup, _KNOWN))
        return lookup[0]

    monitor = ProcessMonitor("cached-page")
    unlimited = gateway_limits(None, RedisSettings(), monitor).requests
    app = PageCacheMiddleware(no_application, pages, tokens, versions, monitor.requests, unlimited)
    serve(app, monitor, host="127.0.0.1", port=port, early_responder=app.early_pages)


_KNOWN = KnownVersion()

if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]), Path(given[1]).read_bytes(), UUID(given[2]), (*given[3:], None)[0])
