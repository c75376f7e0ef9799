"""Benchmark of the CPU time of one cached read in the gateway, without system calls.

Requests are fed to the HTTP protocol over connections that discard what is written, so that other
load on the machine hardly affects the result. The baseline is a bare ASGI application behind
uvicorn's own protocol. Redis is replaced by a version that is known, and by counts of this process.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks.table import Row, print_table
from parley_core.auth.principal import Principal
from parley_core.http.server import GC_THRESHOLDS, protocol_class
from parley_core.http.uvicorn_internals import BoundedProtocol
from parley_core.limits.rules import LimitRule, LimitRules
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.batcher import Batcher
from parley_core.storage.shared_counts import Counted
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.history.conditional_get import parse_page
from parley_gateway.history.early_pages import PATH
from parley_gateway.history.page_cache import PageCache, PageCacheSettings
from parley_gateway.history.page_cache_middleware import PageCacheMiddleware
from parley_gateway.limits.limit_metrics import LimitMetrics
from parley_gateway.limits.request_limits import RequestLimits

CONNECTIONS, ROUNDS = 500, 40
RATIO_TARGET = 1.0
SESSION, VERSION, BODY = uuid4(), 21, b"x" * 7_600
AUTHORIZATION = b"Bearer " + b"x" * 250
OWNER = ("default", "ada")
REQUEST = b"GET %b%b HTTP/1.1\r\nhost: localhost\r\nauthorization: %b\r\n\r\n" % (
    PATH.encode(),
    str(SESSION).encode(),
    AUTHORIZATION,
)
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"7600")],
}

Protocol = Callable[..., HttpToolsProtocol]


class DiscardingTransport:
    """The part of a transport that the protocols use."""

    def __init__(self) -> None:
        self.bytes = 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: bytes) -> None:
        self.bytes += len(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


class KnownVersion:
    """Batches its lookups, like the one in Redis."""

    def __init__(self) -> None:
        self._batcher = Batcher(self._read, max_keys=100)

    async def current(self, session_id: UUID) -> int:
        return await self._batcher.get(session_id)

    async def _read(self, session_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        return dict.fromkeys(session_ids, VERSION)


class CountsOfThisProcess:
    """Counts requests, like Redis."""

    def __init__(self) -> None:
        self._counts: Counter[Counted] = Counter()

    async def add(self, numbers: Mapping[Counted, int]) -> Mapping[Counted, int]:
        self._counts.update(numbers)
        return {each: self._counts[each] for each in numbers}


async def bare_page(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send(_START)
    await send({"type": "http.response.body", "body": BODY})


async def run() -> None:
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    monitor = ProcessMonitor("benchmark")
    metrics, counts = LimitMetrics(monitor.registry), CountsOfThisProcess()
    cached, limited = (
        _cached(RequestLimits(LimitRules(rules), metrics, counts), monitor)  # type: ignore[arg-type]
        for rules in ([], [LimitRule({"requests_per_minute": 1_000_000})])
    )
    bare = await _seconds(bare_page, HttpToolsProtocol)
    bounded = await _seconds(bare_page, BoundedProtocol)
    parsed = await _seconds(cached, BoundedProtocol)
    early = await _seconds(cached, protocol_class(cached.early_pages))
    within_limits = await _seconds(limited, protocol_class(limited.early_pages))
    print_table(
        "CPU time of a cached read of 7.6 kB",
        [
            _row("bare ASGI application behind BoundedProtocol", bounded, bare),
            _row("page cache, each request parsed", parsed, bare),
            _row("page cache, answered before parsing", early, bare, RATIO_TARGET),
            _row("the same, of a person within a limit", within_limits, bare, RATIO_TARGET),
        ],
    )


def _cached(limits: RequestLimits, monitor: ProcessMonitor) -> PageCacheMiddleware:
    pages, tokens = PageCache(PageCacheSettings()), VerifiedTokenCache(1_000)
    tokens.put(AUTHORIZATION, Principal(*OWNER), time.time() + 1_000)
    page = parse_page(SESSION, BODY, f'W/"{VERSION}"')
    assert page is not None
    pages.put((OWNER, f"{PATH}{SESSION}".encode(), b""), page)
    versions: Any = KnownVersion()
    return PageCacheMiddleware(bare_page, pages, tokens, lambda: versions, monitor.requests, limits)


async def _seconds(app: ASGIApp, protocol: Protocol) -> float:
    """The CPU time of a request, the least of all rounds."""
    config = uvicorn.Config(app, ws="none", log_config=None, access_log=False)
    config.load()
    state, connections = ServerState(), []
    for _ in range(CONNECTIONS):
        transport: Any = DiscardingTransport()
        connection = protocol(config=config, server_state=state, app_state={})
        connection.connection_made(transport)
        connections.append((connection, transport))
    return min([await _round(connections) for _ in range(ROUNDS)]) / CONNECTIONS


async def _round(connections: Sequence[tuple[HttpToolsProtocol, DiscardingTransport]]) -> float:
    started_at = time.process_time()
    for connection, transport in connections:
        transport.bytes = 0
        connection.data_received(REQUEST)
    while any(transport.bytes < len(BODY) for _, transport in connections[-10:]):
        await asyncio.sleep(0)
    return time.process_time() - started_at


def _row(label: str, seconds: float, baseline: float, target: float | str = "") -> Row:
    measured, compared = (f"{1e6 * each:.1f} µs" for each in (seconds, baseline))
    return Row(label, measured, compared, baseline / seconds, target)
