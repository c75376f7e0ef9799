"""A whole stack as a person starts it: `parley up` on data of its own."""

import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import jwt

from parley_cli.engines import free_port
from parley_testing.eventually import eventually
from stack.person import Person

READY, READY_SECONDS = "Parley is ready at", 90
END_SECONDS = 10  # What `parley up` promises.


class Said(NamedTuple):
    code: int
    output: str
    error: str


class Stack:
    """Started and ended any number of times on the same data."""

    def __init__(self, folder: Path, engine_cache: Path) -> None:
        """`folder` also gets what `parley up` itself prints."""
        self.data, self.output = folder / "data", folder / "up.txt"
        self.port = free_port()
        self.jwt_secret = secrets.token_urlsafe(32)
        self._process: asyncio.subprocess.Process | None = None
        self._environment: dict[str, str] = {}
        self._http = httpx2.AsyncClient(
            base_url=self.url, timeout=60, limits=httpx2.Limits(max_connections=None)
        )
        self.data.mkdir()
        engine_cache.mkdir(parents=True, exist_ok=True)
        # Kafka's jars are 44 MB, which every stack of a test run may share.
        (self.data / "cache").symlink_to(engine_cache, target_is_directory=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self, *arguments: str, **settings: str) -> AsyncIterator[None]:
        """From ready to ended; an end that is not orderly fails the test."""
        await self.up(*arguments, **settings)
        try:
            yield
        finally:
            assert await self.end() == 0, self.output.read_text()

    async def up(self, *arguments: str, **settings: str) -> None:
        """Return once it says that it is ready; the arguments are those of `parley up`."""
        self._environment = self._with(settings)
        with self.output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_parley("up", *arguments), env=self._environment, stdout=output, stderr=output
            )
        await eventually(self._is_ready, within=READY_SECONDS)

    async def end(self) -> int:
        """The exit code after SIGTERM. Raises TimeoutError when it takes too long."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise

    async def close(self) -> None:
        await self._http.aclose()

    async def status(self) -> dict[str, dict[str, Any]]:
        """What `parley status` says of each process, by its name."""
        return {each["name"]: each for each in json.loads(await self.output_of("status", "--json"))}

    def pid(self, name: str) -> int:
        return int(self._processes()[name]["pid"])

    def address(self, name: str) -> str:
        return str(self._processes()[name]["address"])

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid(name), number)

    @asynccontextmanager
    async def stopped(self, name: str) -> AsyncIterator[None]:
        """The process does nothing meanwhile, and goes on as if no time had passed."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def until_ready(self) -> None:
        """Until every process is there, also those that were killed."""

        async def all_ready() -> bool:
            return all(each["ready"] for each in (await self.status()).values())

        await eventually(all_ready, within=30)

    async def until_replaced(self, name: str, pid: int) -> None:
        """Until another process than that one is there under the name, and ready."""

        def replaced() -> bool:
            process = self._processes().get(name)
            return process is not None and process["pid"] != pid

        await eventually(replaced, within=45)

    def last_lines(self, count: int = 15) -> str:
        """The end of what each process logged."""
        logs = [self.output, *sorted((self.data / "logs").glob("*.log"))]
        ends = {log.stem: log.read_text(errors="replace").splitlines()[-count:] for log in logs}
        return "\n".join(f"{name}: {line}" for name, lines in ends.items() for line in lines)

    async def command(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Said:
        """Another command of `parley`, run to its end; as a running stack was told, or as given."""
        asked = await asyncio.create_subprocess_exec(
            *_parley(*arguments),
            env=self._environment if environment is None else self._with(environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, error = await asked.communicate()
        assert asked.returncode is not None
        return Said(asked.returncode, output.decode(), error.decode())

    async def output_of(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        said = await self.command(*arguments)
        assert said.code == 0, (arguments, said)
        return said.output

    def token(self, user: str, **claims: Any) -> str:
        claims = {"sub": user, "exp": int(time.time()) + 3600} | claims
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def person(self, user: str, *, gateway: str | None = None, **claims: Any) -> Person:
        """Somebody who calls the gateway at that address, or the first one."""
        at = f"http://{gateway}" if gateway else ""
        return Person(self._http, self.token(user, **claims), at)

    def bearer(self, token: str) -> Person:
        return Person(self._http, token)

    async def fetch(self, path: str, **request: Any) -> httpx2.Response:
        """What anybody gets, without a token."""
        return await self._http.get(path, **request)

    def _processes(self) -> dict[str, dict[str, Any]]:
        # What `parley status` reads too, without the seconds of a process of its own.
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
            "PARLEY_JWT_SECRET": self.jwt_secret,
            # A title that comes when it likes would move sessions whose versions are counted.
            "PARLEY_INFERENCE_TITLES": "false",
            **settings,
        }

    async def _is_ready(self) -> bool:
        assert self._process is not None
        told = self.output.read_text()
        assert self._process.returncode is None, told
        return READY in told and (await self.fetch("/readyz")).status_code == 200


@asynccontextmanager
async def a_stack(engine_cache: Path) -> AsyncIterator[Stack]:
    """One that is not started yet, in a folder of its own."""
    # Not below pytest's own folder: each run closes that one to all but root, and PostgreSQL
    # does not run as root.
    with tempfile.TemporaryDirectory(prefix="parley-e2e-") as folder:
        stack = Stack(Path(folder), engine_cache)
        try:
            yield stack
        finally:
            await stack.close()


def _parley(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "parley_cli", *arguments]
