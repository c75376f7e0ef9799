"""Management server: serves the operational routes in a thread with an event loop of its own.

A loop that is busy with the requests of thousands of clients answers a probe late; killing its
process for that would move the load to the next one.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.applications import Starlette

from parley_core.http.connection_limits import ConnectionLimits
from parley_core.http.uvicorn_internals import BoundedProtocol
from parley_core.process.operational_routes import operational_routes
from parley_core.process.process_monitor import ProcessMonitor

# A kubelet, a scraper and a few operators.
MAX_CONNECTIONS = 100
_STOP_SECONDS = 2.0

_log = logging.getLogger(__name__)


@contextmanager
def management_server(monitor: ProcessMonitor, sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Serve on the bound sockets within the block; must be entered in the running event loop."""
    app = Starlette(routes=operational_routes(monitor, asyncio.get_running_loop()))
    config = uvicorn.Config(
        app,
        http=partial(  # type: ignore[arg-type]
            BoundedProtocol, limits=ConnectionLimits(max_connections=MAX_CONNECTIONS)
        ),
        loop="uvloop",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([*sockets],), name="management", daemon=True)
    thread.start()
    for address in dict.fromkeys(each.getsockname()[:2] for each in sockets):
        _log.info("probes and metrics on http://%s:%d", *address)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
