"""HTTP server of a service's process: uvicorn with bounded waits and a graceful shutdown."""

import gc
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from parley_core.http.connection_limits import (
    ConnectionLimits,
    Network,
    connections_within,
    raise_descriptor_limit,
)
from parley_core.http.early_responses import EarlyResponder, EarlyResponseProtocol
from parley_core.http.uvicorn_internals import BoundedProtocol, DrainingServer

IDLE_CONNECTION_SECONDS = 75

_BACKLOG = 2048
# uvloop accepts one connection per listening socket and loop iteration (libuv pull request 3696):
# with a single socket, new connections to a busy process wait for seconds (ADR 21).
_SOCKETS_PER_PORT = 64
# A batch of records lives until it is processed: scanning it at the default thresholds costs up to
# a third of the CPU time.
GC_THRESHOLDS = (50_000, 20, 20)

_log = logging.getLogger(__name__)


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    shared_port: int | None = None,
    drain_seconds: int = 5,
    max_connections: int = 0,
    max_connections_per_address: int = 0,
    trusted_proxies: Sequence[Network] = (),
    on_shutdown: Callable[[], None] = lambda: None,
    early_responder: EarlyResponder | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain open requests for at most `drain_seconds`.

    Several processes of one user may listen on the same `shared_port`; the kernel distributes the
    connections among them (SO_REUSEPORT). `on_shutdown` runs once in the event loop, before open
    connections are awaited: it must end open streams, or the exit takes `drain_seconds`. Raises
    SystemExit with code 1, after logging the reason, when the process cannot listen.

    Connections over `max_connections`, or over what the file descriptors suffice for, are refused,
    and so are those over `max_connections_per_address` unless they come from `trusted_proxies`; 0
    is no limit. `early_responder` answers remembered requests before they are parsed.
    """
    descriptors = raise_descriptor_limit()
    available = connections_within(descriptors)
    limits = ConnectionLimits(
        max_connections=min(max_connections or available, available),
        max_per_address=max_connections_per_address,
        exempt=trusted_proxies,
    )
    _log.info("at most %d connections (file descriptors: %d)", limits.max_connections, descriptors)
    config = uvicorn.Config(
        app,
        http=partial(protocol_class(early_responder), limits=limits),  # type: ignore[arg-type]
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
    )
    bound = [_bind(host, port)]
    if shared_port is not None:
        bound.append(_bind(host, shared_port, shared=True))
    # Duplicates of one socket accept from the same queue.
    sockets = [each.dup() for each in bound for _ in range(_SOCKETS_PER_PORT)]
    for each in bound:
        each.close()
    # Objects loaded by now are permanent.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        DrainingServer(config, on_shutdown).run(sockets)
    except SystemExit:
        raise SystemExit(1) from None


def protocol_class(early_responder: EarlyResponder | None) -> Callable[..., BoundedProtocol]:
    if early_responder is None:
        return BoundedProtocol
    return partial(EarlyResponseProtocol, responder=early_responder)


def _bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Bind a TCP socket; it listens only once the application has started."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        _log.error("cannot listen on %s:%d: %s", host, port, error.strerror or error)
        raise SystemExit(1) from None
    return bound
