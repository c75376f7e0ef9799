"""Empty engines for a benchmark, from the same packages as `parley up`."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from parley_cli.engines import KafkaServer, PostgresServer, free_port
from parley_cli.settings import user_cache_folder

CACHE = user_cache_folder()


@asynccontextmanager
async def postgres() -> AsyncIterator[str]:
    """The DSN of an empty database."""
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        os.chmod(folder, 0o711)  # The user of PostgreSQL must traverse it.
        server = PostgresServer(Path(folder), free_port())
        await server.start()
        try:
            yield server.dsn()
        finally:
            await server.stop()


@asynccontextmanager
async def kafka() -> AsyncIterator[str]:
    """The bootstrap server of a broker without topics."""
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        server = KafkaServer(Path(folder), CACHE, free_port(), free_port())
        await server.start()
        try:
            yield server.bootstrap
        finally:
            await server.stop()
