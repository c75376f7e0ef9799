"""Operational routes: the probes `/livez`, `/readyz` and `/startupz`, `/metrics` and `/status`.

They need no authentication: they carry numbers and names of dependencies only. A probe asks no
other process.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.process_state import ProcessState

Result = TypeVar("Result")

# A scrape of a loop that is busy for longer fails, as Prometheus would give up on it.
_LOOP_TIMEOUT_SECONDS = 5.0


def probe_routes(state: ProcessState) -> list[Route]:
    """`/livez`: the event loop runs; `/readyz`: send requests here; `/startupz`: it has started."""

    async def livez(_: Request) -> Response:
        return liveness(state)

    async def readyz(_: Request) -> Response:
        return readiness(state)

    async def startupz(_: Request) -> Response:
        return _probe(state.started, "starting", state)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/startupz", startupz)]


def liveness(state: ProcessState) -> Response:
    return _probe(state.alive, "stuck", state)


def readiness(state: ProcessState) -> Response:
    return _probe(state.ready, state.phase, state)


def operational_routes(
    monitor: ProcessMonitor, loop: asyncio.AbstractEventLoop | None = None
) -> list[Route]:
    """All of them. `loop` is the event loop of the service if another one serves these routes."""

    async def metrics(_: Request) -> Response:
        return await _read(monitor.metrics, loop, lambda text: Response(text, headers=_TEXT))

    async def status(_: Request) -> Response:
        return await _read(monitor.status, loop, JSONResponse)

    return [*probe_routes(monitor.state), Route("/metrics", metrics), Route("/status", status)]


_TEXT = {"content-type": CONTENT_TYPE_LATEST}


def _probe(passes: bool, failure: str, state: ProcessState) -> Response:
    if passes:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"status": failure, "missing": [*state.waiting_for]}, 503)


async def _read(
    read: Callable[[], Result],
    loop: asyncio.AbstractEventLoop | None,
    to_response: Callable[[Result], Response],
) -> Response:
    """Read in the loop of the service, whose collections no other thread may iterate over."""
    if loop is None:
        return to_response(read())

    async def read_in_loop() -> Result:
        return read()

    try:
        future = asyncio.run_coroutine_threadsafe(read_in_loop(), loop)
        async with asyncio.timeout(_LOOP_TIMEOUT_SECONDS):
            return to_response(await asyncio.wrap_future(future))
    except (TimeoutError, RuntimeError):  # RuntimeError: the loop is closed.
        return JSONResponse({"status": "stuck", "missing": []}, 503)
