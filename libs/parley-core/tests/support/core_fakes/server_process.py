"""A process that serves a small application, and requests to it."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import Signals
from typing import Any

LIMIT, FAR_LIMIT = 1, 60
PROCESS = """
import asyncio, os, sys, time
from contextlib import asynccontextmanager
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from parley_core.http.draining_server import Hooks
from parley_core.http.server import serve
from parley_core.process import settings_reloader
from parley_core.process.exit_codes import exit_code
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.server_settings import ServerSettings
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.safe_logging import configure_logging
from parley_core.runtime.settings import Settings, load
from parley_core.tls.tls_settings import TlsGroup, TlsSettings

class ExampleSettings(Settings):
    tls: TlsGroup = TlsSettings()

@asynccontextmanager
async def lifespan(app):
    settings_reloader.CHECK_INTERVAL_SECONDS = 0.05
    async with background_tasks(reloader.run()):
        yield

app, ending = FastAPI(lifespan=lifespan), asyncio.Event()

@app.get("/ends")
async def ends():
    async def pieces():
        yield b"begun"
        await ending.wait()
        yield b"ended"
    return StreamingResponse(pieces())

@app.get("/who")
async def who():
    return os.getpid()

@app.get("/block")
async def block():
    time.sleep(12)

@app.get("/endless")
async def endless():
    async def pieces():
        yield b"begun"
        await asyncio.Event().wait()
    return StreamingResponse(pieces())

def on_drain():
    print("on_drain", flush=True)
    if "broken" in sys.argv:
        raise RuntimeError("on_drain is broken")
    ending.set()

configure_logging("test")
port, drain_seconds = int(sys.argv[1]), int(sys.argv[2])
shared = int(os.environ["SHARED_PORT"]) if "SHARED_PORT" in os.environ else None
management = int(os.environ["MANAGEMENT_PORT"]) if "MANAGEMENT_PORT" in os.environ else None
monitor, settings = ProcessMonitor("test"), load(ExampleSettings)
reloader = SettingsReloader(
    settings, lambda fresh: settings.tls.replace(fresh.tls), monitor.registry
)

async def prepare():
    if "unprepared" in sys.argv:
        await asyncio.Event().wait()
    monitor.state.mark_started()

def run():
    serve(
        app,
        monitor,
        host=os.environ.get("HOST", "127.0.0.1"),
        port=port,
        management_port=management,
        shared_port=shared,
        settings=ServerSettings(
            lame_duck_seconds=float(os.environ.get("LAME_DUCK", 0)),
            connection_max_seconds=float(os.environ.get("CONNECTION_MAX", 60)),
        ),
        tls=settings.tls,
        drain_seconds=drain_seconds,
        hooks=Hooks(prepare=prepare, on_drain=on_drain),
    )
    print("served", flush=True)
    return 0

sys.exit(exit_code(run))
"""
LISTENING = re.compile(rb"listening on https?://127\.0\.0\.1:(\d+)")


@asynccontextmanager
async def started(port: int, *arguments: int | str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROCESS,
        *(str(argument) for argument in (port, *arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TZ": "Asia/Tokyo"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def serving(*arguments: int | str) -> AsyncIterator[Any]:
    """A server process and its port."""
    async with started(0, *arguments) as process:
        log = b""
        while (listening := LISTENING.search(log)) is None:
            assert process.stderr is not None
            line = await process.stderr.readline()
            assert line, log.decode()
            log += line
        yield process, int(listening[1])


@asynccontextmanager
async def streaming(port: int, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """A request with an unfinished response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: parley\r\n\r\n".encode())
    await reader.readuntil(b"begun")
    try:
        yield reader
    finally:
        writer.close()


async def ended(
    process: asyncio.subprocess.Process, signal_number: Signals = signal.SIGTERM
) -> tuple[str, str, float]:
    """Signal the process; return its stdout, its log and the seconds until its exit."""
    signalled_at = time.monotonic()
    process.send_signal(signal_number)
    out, log = await asyncio.wait_for(process.communicate(), 20)
    return out.decode(), log.decode(), time.monotonic() - signalled_at


async def who_answers(port: int) -> int:
    """Return the ID of the process that answers on a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /who HTTP/1.1\r\nhost: parley\r\nconnection: close\r\n\r\n")
    response = await reader.read()
    writer.close()
    return int(response.rpartition(b"\r\n\r\n")[2])
