"""Stack of `parley up` on a temporary data folder, connected to the fake model server."""

import asyncio
import json
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers.processor_time import processor_seconds
from parley_cli.engines import free_port
from parley_cli.engines.health_probes import accepts_connections
from parley_cli.settings import TokenSettings
from parley_cli.stack.dev_tokens import development_token

READY_TIMEOUT_SECONDS = 180
READY_LINE = b"Parley is ready at"


@dataclass(frozen=True, slots=True)
class RunningStack:
    """`startup_seconds` is the time from the command until the whole stack was ready."""

    url: str
    data: Path
    token: str
    startup_seconds: float

    @property
    def trust(self) -> ssl.SSLContext | bool:
        """For a client of the gateway."""
        authority_file = self.data / "tls" / "authority.pem"
        if self.url.startswith("https:"):
            return ssl.create_default_context(cafile=str(authority_file))
        return True

    def processor_seconds(self, *services: str) -> float:
        """Those that all replicas of the services have used until now."""
        processes = json.loads((self.data / "stack.json").read_bytes())["processes"]
        pids = [each["pid"] for each in processes if each["name"].startswith(services)]
        return sum(map(processor_seconds, pids))

    async def processes(self) -> list[dict[str, Any]]:
        """The rows of `parley status --json`."""
        output = await _output("status", "--json", environment=_environment(self.data, 0, ""))
        return list(json.loads(output))


@asynccontextmanager
async def running_stack(
    data: Path, model_url: str, *arguments: str, **settings: str
) -> AsyncIterator[RunningStack]:
    """Run `parley up` with the arguments, and with the settings as environment variables."""
    port = free_port()
    environment = _environment(data, port, model_url) | settings
    started_at = time.perf_counter()
    stack = await _parley("up", *arguments, environment=environment)
    draining = None
    try:
        await _wait_until_ready(stack)
        startup_seconds = time.perf_counter() - started_at
        assert stack.stdout is not None
        draining = asyncio.create_task(stack.stdout.read())
        scheme = "https" if "--tls" in arguments else "http"
        url = f"{scheme}://127.0.0.1:{port}"
        token = development_token(TokenSettings(data=data), user="benchmark")
        yield RunningStack(url, data, token, startup_seconds)
    finally:
        if stack.returncode is None:
            stack.send_signal(signal.SIGTERM)
        await stack.wait()
        if draining is not None:
            await draining


def token_of(stack: RunningStack, user: str) -> str:
    return development_token(TokenSettings(data=stack.data), user=user)


@asynccontextmanager
async def fake_model(*seconds: float) -> AsyncIterator[str]:
    """The base URL of a fake model server, optionally with so many seconds between two tokens."""
    async with running_server("fake_model", *map(str, seconds)) as url:
        yield f"{url}/v1"


@asynccontextmanager
async def data_folder() -> AsyncIterator[Path]:
    """An empty data folder."""
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        os.chmod(folder, 0o711)  # The user of PostgreSQL must traverse it.
        yield Path(folder)


@asynccontextmanager
async def running_server(module: str, *arguments: str) -> AsyncIterator[str]:
    """The URL of a module of this folder that runs as a child process."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.servers.{module}", str(port), *arguments)
    )
    try:
        async with asyncio.timeout(10):
            while not await accepts_connections(f"127.0.0.1:{port}"):
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _wait_until_ready(stack: asyncio.subprocess.Process) -> None:
    assert stack.stdout is not None
    async with asyncio.timeout(READY_TIMEOUT_SECONDS):
        while line := await stack.stdout.readline():
            if READY_LINE in line:
                return
    raise SystemExit("The stack ended while starting.")


async def _parley(*arguments: str, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_cli", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )


async def _output(*arguments: str, environment: Mapping[str, str]) -> str:
    output, _ = await (await _parley(*arguments, environment=environment)).communicate()
    return output.decode()


def _environment(data: Path, port: int, model_url: str) -> dict[str, str]:
    return os.environ | {
        "PARLEY_DATA": str(data),
        "PARLEY_PORT": str(port),
        "PARLEY_MODEL": "fake",
        # One person makes all requests.
        "PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "1",
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "none",
    }
