"""A whole stack, started with `parley up` on its own data folder."""

import asyncio
import json
import os
import secrets
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import jwt

from e2e_support.user import User
from parley_cli.engines import free_port
from parley_testing.eventually import eventually

# Its folder is no place to import from: its modules have common names.
_UP = (sys.executable, "-P", str(Path(__file__).with_name("short_run.py")), "up")
READY_SECONDS = 90
STOP_SECONDS = 10  # The limit that `parley up` documents.
LOADED_STOP_SECONDS = 30  # Of a stack with two of every process, on a machine that is busy.


class CommandResult(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


class Stack:
    """A stack that can be started and stopped any number of times on the same data."""

    def __init__(self, folder: Path, engine_cache: Path) -> None:
        """`folder` also holds the console output of `parley up`."""
        self.data, self.console = folder / "data", folder / "up.txt"
        self._engine_cache = engine_cache
        self.port = free_port()
        self.jwt_secret = secrets.token_urlsafe(32)
        self._process: asyncio.subprocess.Process | None = None
        self._environment: dict[str, str] = {}
        self._has_tls = False
        # Trusts the authority of the stack once that exists.
        self.trust = ssl.create_default_context()
        self._http = httpx2.AsyncClient(
            timeout=60, limits=httpx2.Limits(max_connections=None), verify=self.trust
        )
        self.data.mkdir()

    @property
    def url(self) -> str:
        return f"{'https' if self._has_tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def authority_file(self) -> Path:
        """That of `parley up --tls`."""
        return self.data / "tls" / "authority.pem"

    @property
    def kafka(self) -> Mapping[str, Any]:
        """The arguments of an aiokafka client of the embedded Kafka."""
        return {
            "bootstrap_servers": self.address("kafka"),
            "security_protocol": "SASL_SSL" if self._has_tls else "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "parley",
            "sasl_plain_password": self.secret("kafka-password"),
            "ssl_context": self.trust,
        }

    @property
    def redis_url(self) -> str:
        """The URL of the embedded Redis."""
        return f"redis://:{self.secret('redis-password')}@{self.address('redis')}/0"

    def secret(self, name: str) -> str:
        """A secret that `parley up` has generated."""
        return (self.data / "secrets" / name).read_text()

    @asynccontextmanager
    async def running(self, *arguments: str, **settings: str) -> AsyncIterator[None]:
        """Run the stack within the block; a shutdown that is not clean fails the test."""
        await self.start(*arguments, **settings)
        try:
            yield
        finally:
            assert await self.stop(LOADED_STOP_SECONDS) == 0, self.console.read_text()

    async def start(self, *arguments: str, **settings: str) -> None:
        """Start the stack and wait until it is ready; the arguments are those of `parley up`."""
        self._environment, self._has_tls = self._with(settings), "--tls" in arguments
        self._http.base_url = self.url
        with self.console.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_UP, *arguments, env=self._environment, stdout=output, stderr=output
            )
        await eventually(self._is_ready, within=READY_SECONDS)

    async def stop(self, within: float = STOP_SECONDS) -> int:
        """Send SIGTERM and return the exit code. Raises TimeoutError after `within` seconds."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise

    async def close(self) -> None:
        await self._http.aclose()

    async def status(self) -> dict[str, dict[str, Any]]:
        """The output of `parley status`, by process name."""
        return {each["name"]: each for each in json.loads(await self.stdout_of("status", "--json"))}

    def pid(self, name: str) -> int:
        return int(self._processes()[name]["pid"])

    def address(self, name: str) -> str:
        return str(self._processes()[name]["address"])

    def management(self, name: str) -> str:
        """The address of the probes and metrics of a service."""
        return str(self._processes()[name]["management"])

    @property
    def ports(self) -> frozenset[int]:
        """Those at which its processes listen."""
        named = self._processes().values()
        addresses = [each.get(name) for each in named for name in ("address", "management")]
        return frozenset(int(each.rpartition(":")[2]) for each in addresses if each)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid(name), number)

    @asynccontextmanager
    async def paused(self, name: str) -> AsyncIterator[None]:
        """Pause the process within the block (SIGSTOP, then SIGCONT)."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def wait_until_ready(self) -> None:
        """Wait until every process is ready, including those that were killed."""

        async def all_ready() -> bool:
            return all(each["ready"] for each in (await self.status()).values())

        # First without a command, which takes as long to start as a service.
        await eventually(self._services_are_ready)
        await eventually(all_ready)

    async def wait_until_restarted(self, name: str, pid: int) -> None:
        """Wait until a process other than `pid` runs under that name."""

        def restarted() -> bool:
            process = self._processes().get(name)
            return process is not None and process["pid"] != pid

        await eventually(restarted, within=45)

    def log(self, name: str) -> str:
        """The log of one process."""
        return (self.data / "logs" / f"{name}.log").read_text(errors="replace")

    def log_tails(self, count: int = 15) -> str:
        """The last lines of each process's log."""
        logs = [self.console, *sorted((self.data / "logs").glob("*.log"))]
        ends = {log.stem: log.read_text(errors="replace").splitlines()[-count:] for log in logs}
        return "\n".join(f"{name}: {line}" for name, lines in ends.items() for line in lines)

    async def run_command(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> CommandResult:
        """Run another `parley` command, by default with the settings of the running stack."""
        process = await asyncio.create_subprocess_exec(
            *_parley(*arguments),
            env=self._environment if environment is None else self._with(environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return CommandResult(process.returncode, stdout.decode(), stderr.decode())

    async def stdout_of(self, *arguments: str) -> str:
        """The standard output of a command that must succeed."""
        result = await self.run_command(*arguments)
        assert result.exit_code == 0, (arguments, result)
        return result.stdout

    def token(self, user: str, **claims: Any) -> str:
        claims = {"sub": user, "exp": int(time.time()) + 3600} | claims
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def user(self, user: str, *, gateway: str | None = None, **claims: Any) -> User:
        """A user who calls the gateway at that address, by default the first one."""
        at = self._at(gateway)
        return User(self._http, self.token(user, **claims), at)

    def user_with_token(self, token: str, *, gateway: str | None = None) -> User:
        return User(self._http, token, self._at(gateway))

    def _at(self, gateway: str | None) -> str:
        """The base URL of a gateway; empty: that of the HTTP client."""
        return f"{'https' if self._has_tls else 'http'}://{gateway}" if gateway else ""

    async def fetch(self, path: str, method: str = "GET", **request: Any) -> httpx2.Response:
        """The response to a request without a token."""
        return await self._http.request(method, path, **request)

    def _processes(self) -> dict[str, dict[str, Any]]:
        # Read directly: `parley status` reads the same file but takes seconds to start.
        stack = json.loads((self.data / "stack.json").read_bytes())
        return {each["name"]: each for each in stack["processes"]}

    def _with(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PARLEY_", "OPENAI_"))
        }
        return inherited | {
            "PARLEY_DATA": str(self.data),
            "PARLEY_PORT": str(self.port),
            "XDG_CACHE_HOME": str(self._engine_cache.parent),
            "PARLEY_JWT_SECRET": self.jwt_secret,
            # A generated title would raise the versions that the tests count.
            "PARLEY_INFERENCE_TITLES": "false",
            **settings,
        }

    async def _services_are_ready(self) -> bool:
        probed = [each["management"] for each in self._processes().values() if each["management"]]
        try:
            answers = [await self.fetch(f"http://{each}/readyz") for each in probed]
        except httpx2.TransportError:
            return False
        return all(answer.status_code == 200 for answer in answers)

    async def _is_ready(self) -> bool:
        assert self._process is not None
        printed = self.console.read_text()
        assert self._process.returncode is None, printed
        # `parley up` prints its URL once every process is ready.
        if self.url not in printed:
            return False
        if self._has_tls:
            self.trust.load_verify_locations(self.authority_file)
        return (await self.fetch("/readyz")).status_code == 200


@asynccontextmanager
async def new_stack(engine_cache: Path) -> AsyncIterator[Stack]:
    """A stack in a temporary folder, not started yet."""
    # Not below pytest's own folder, which only its owner may enter: as root, PostgreSQL runs as
    # another user.
    with tempfile.TemporaryDirectory(prefix="parley-e2e-") as folder:
        stack = Stack(Path(folder), engine_cache)
        try:
            yield stack
        finally:
            await stack.close()


def _parley(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "parley_cli", *arguments]
