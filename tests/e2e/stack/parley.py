"""A whole stack as a person starts it: `parley up` on data of its own."""

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt

from parley_cli.engines import free_port
from parley_testing.eventually import eventually
from stack.person import Person

READY, READY_SECONDS = "Parley answers at", 90
END_SECONDS = 10  # What `parley up` promises.


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
    async def running(self, **settings: str) -> AsyncIterator[None]:
        """From ready to ended; an end that is not orderly fails the test."""
        await self.up(**settings)
        try:
            yield
        finally:
            assert await self.end() == 0, self.output.read_text()

    async def up(self, **settings: str) -> None:
        """Return once it says that it is ready."""
        self._environment = self._with(settings)
        with self.output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_parley("up"), env=self._environment, stdout=output, stderr=output
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

    async def pid(self, name: str) -> int:
        return int((await self.status())[name]["pid"])

    async def kill(self, name: str) -> None:
        os.kill(await self.pid(name), signal.SIGKILL)

    async def until_ready(self) -> None:
        """Until every process is there, also those that were killed."""

        async def all_ready() -> bool:
            return all(each["ready"] for each in (await self.status()).values())

        await eventually(all_ready, within=30)

    def last_lines(self, count: int = 15) -> str:
        """The end of what each process logged."""
        logs = [self.output, *sorted((self.data / "logs").glob("*.log"))]
        ends = {log.stem: log.read_text(errors="replace").splitlines()[-count:] for log in logs}
        return "\n".join(f"{name}: {line}" for name, lines in ends.items() for line in lines)

    async def output_of(self, *arguments: str) -> str:
        """What another command of `parley` prints."""
        asked = await asyncio.create_subprocess_exec(
            *_parley(*arguments), env=self._environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asked.communicate()
        assert asked.returncode == 0, arguments
        return output.decode()

    def token(self, user: str, **claims: Any) -> str:
        claims = {"sub": user, "exp": int(time.time()) + 3600} | claims
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def person(self, user: str, **claims: Any) -> Person:
        return self.bearer(self.token(user, **claims))

    def bearer(self, token: str) -> Person:
        return Person(self._http, token)

    async def fetch(self, path: str, **request: Any) -> httpx2.Response:
        """What anybody gets, without a token."""
        return await self._http.get(path, **request)

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
            **settings,
        }

    async def _is_ready(self) -> bool:
        assert self._process is not None
        told = self.output.read_text()
        assert self._process.returncode is None, told
        return READY in told and (await self.fetch("/readyz")).status_code == 200


def _parley(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "parley_cli", *arguments]
