"""A whole stack as `parley up` starts it, on data of its own, in front of the fake model server."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engines import CACHE
from parley_cli.engines import free_port

READY_SECONDS = 180
READY = b"Parley is ready at"


@dataclass(frozen=True, slots=True)
class RunningStack:
    """`seconds` from the command to the whole stack's readiness."""

    url: str
    data: Path
    token: str
    seconds: float

    async def processes(self) -> list[dict[str, Any]]:
        """What `parley status --json` says of each."""
        status = json.loads(await _output(["status", "--json"], _environment(self.data, 0, "")))
        return list(status["processes"] if isinstance(status, dict) else status)


@asynccontextmanager
async def running_stack(
    data: Path, model_url: str, *arguments: str, **settings: str
) -> AsyncIterator[RunningStack]:
    """`arguments` are those of `parley up`, `settings` its environment's."""
    port = free_port()
    environment = _environment(data, port, model_url) | settings
    began = time.perf_counter()
    stack = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "parley_cli",
        "up",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    draining = None
    try:
        await _until_ready(stack)
        seconds = time.perf_counter() - began
        assert stack.stdout is not None
        draining = asyncio.create_task(stack.stdout.read())
        token = await _output(["token", "--user", "benchmark"], environment)
        yield RunningStack(f"http://127.0.0.1:{port}", data, token.strip(), seconds)
    finally:
        if stack.returncode is None:
            stack.send_signal(signal.SIGTERM)
        await stack.wait()
        if draining is not None:
            await draining


@asynccontextmanager
async def fake_model() -> AsyncIterator[str]:
    """The URL of its chat completions' API."""
    port = free_port()
    async with server("benchmarks.fake_model", [str(port)], port):
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def paced_model(seconds: float) -> AsyncIterator[str]:
    """As `fake_model`, with as many seconds between two tokens."""
    port = free_port()
    async with server("benchmarks.fake_model", [str(port), str(seconds)], port):
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def bare_relay(upstream: str) -> AsyncIterator[str]:
    port = free_port()
    async with server("benchmarks.fake_model", [str(port), upstream], port):
        yield f"http://127.0.0.1:{port}/"


@asynccontextmanager
async def a_folder() -> AsyncIterator[Path]:
    """A data folder without data; Kafka's jars and Java's start cache are there already."""
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        os.chmod(folder, 0o711)  # PostgreSQL's own user passes through it.
        CACHE.mkdir(parents=True, exist_ok=True)
        (Path(folder) / "cache").symlink_to(CACHE)
        yield Path(folder)


@asynccontextmanager
async def server(module: str, arguments: Sequence[str], port: int) -> AsyncIterator[None]:
    """A process of its own that listens there."""
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments)
    try:
        async with asyncio.timeout(10):
            while not await _listens(port):
                await asyncio.sleep(0.05)
        yield
    finally:
        server.terminate()
        await server.wait()


async def _until_ready(stack: asyncio.subprocess.Process) -> None:
    assert stack.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        while line := await stack.stdout.readline():
            if READY in line:
                return
    raise SystemExit("The stack ended while it was starting.")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _output(arguments: Sequence[str], environment: dict[str, str]) -> str:
    asked = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "parley_cli",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asked.communicate()
    return output.decode()


def _environment(data: Path, port: int, model_url: str) -> dict[str, str]:
    return os.environ | {
        "PARLEY_DATA": str(data),
        "PARLEY_PORT": str(port),
        "PARLEY_MODEL": "fake",
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "none",
    }
