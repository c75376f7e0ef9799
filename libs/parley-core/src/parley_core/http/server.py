"""HTTP server of a service's process: uvicorn with bounded waits and a graceful shutdown."""

import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import uvicorn
from prometheus_client import CollectorRegistry, Gauge
from starlette.types import ASGIApp

from parley_core.http.connection_limits import (
    ConnectionLimits,
    Network,
    connections_within,
    raise_descriptor_limit,
)
from parley_core.http.draining_server import DrainingServer, Hooks, Tls
from parley_core.http.listening_sockets import bind
from parley_core.http.protocol.early_responses import EarlyResponder, EarlyResponseProtocol
from parley_core.http.uvicorn_internals import BoundedProtocol, ConnectionReuse
from parley_core.process.management_server import management_server
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.server_settings import ServerSettings
from parley_core.runtime.background_tasks import background_tasks
from parley_core.tls.tls_settings import TlsSettings
from parley_core.tracing.spans import finish_tracing

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
    monitor: ProcessMonitor,
    *,
    host: str,
    port: int | None,
    management_port: int | None = None,
    shared_port: int | None = None,
    settings: ServerSettings | None = None,
    tls: TlsSettings | None = None,
    drain_seconds: int = 5,
    max_connections: int = 0,
    max_connections_per_address: int = 0,
    trusted_proxies: Sequence[Network] = (),
    hooks: Hooks | None = None,
    early_responder: EarlyResponder | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain open requests for at most `drain_seconds`.

    With a certificate in `tls`, all ports but `management_port` speak only TLS.

    `host` may be `*`: every address of IPv4 and IPv6. Without a `port` only the application's
    lifespan runs, and the probes on `management_port`. Several processes of one user may listen on
    the same `shared_port`; the kernel distributes the connections among them (SO_REUSEPORT). Raises
    SystemExit with code 1, after logging the reason, when the process cannot listen, and what
    `hooks.prepare` raises.

    Connections over `max_connections`, or over what the file descriptors suffice for, are refused,
    and so are those over `max_connections_per_address` unless they come from `trusted_proxies`; 0
    is no limit. `early_responder` answers remembered requests before they are parsed.
    """
    settings, hooks = settings or ServerSettings(), hooks or Hooks()
    descriptors = raise_descriptor_limit()
    available = connections_within(descriptors, with_tls=tls is not None and tls.server is not None)
    limits, handshakes = (
        ConnectionLimits(
            max_connections=min(max_connections or available, available),
            max_per_address=max_connections_per_address,
            exempt=trusted_proxies,
        )
        for _ in range(2)
    )
    if port is not None:
        monitor.registry.register(limits)
    _log.info("at most %d connections (file descriptors: %d)", limits.max_connections, descriptors)
    reuse = ConnectionReuse(settings.connection_max_seconds, lambda: monitor.state.draining)
    config = uvicorn.Config(
        app,
        http=partial(protocol_class(early_responder), limits=limits, reuse=reuse),  # type: ignore[arg-type]
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=drain_seconds,
    )
    management_host = settings.management_host or host
    management = bind(management_host, management_port) if management_port is not None else ()
    bound = [*bind(host, port)] if port is not None else []
    if shared_port is not None:
        bound += bind(host, shared_port, shared=True)
    # Duplicates of one socket accept from the same queue. The listener for TLS needs none.
    with_tls = None
    if tls and tls.server:
        with_tls = Tls(lambda: tls.server, handshakes)
        _register_expiry(monitor.registry, tls)
    copies = 1 if with_tls else _SOCKETS_PER_PORT
    sockets = [each.dup() for each in bound for _ in range(copies)]
    for each in bound:
        each.close()
    # Objects loaded by now are permanent.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)

    @asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(background_tasks(monitor.event_loop.run()))
            if management:
                stack.enter_context(management_server(monitor, management))
            yield

    server = DrainingServer(
        config,
        hooks,
        monitor.state,
        beside(),
        lame_duck_seconds=settings.lame_duck_seconds,
        tls=with_tls,
    )
    try:
        server.run(sockets)
    except SystemExit:
        raise SystemExit(1) from None
    finally:
        finish_tracing()
        # Those of a start that failed.
        for each in (*sockets, *management):
            each.close()


def _register_expiry(registry: CollectorRegistry, tls: TlsSettings) -> None:
    expiry = Gauge(
        "parley_tls_certificate_expiry_timestamp_seconds",
        "When the certificate of the main port expires.",
        registry=registry,
    )
    expiry.set_function(lambda: tls.expires_at.timestamp() if tls.expires_at else 0)


def protocol_class(early_responder: EarlyResponder | None) -> Callable[..., BoundedProtocol]:
    if early_responder is None:
        return BoundedProtocol
    return partial(EarlyResponseProtocol, responder=early_responder)
