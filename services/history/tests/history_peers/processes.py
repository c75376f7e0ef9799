"""The commands of history, run as processes, and the projector inside of this one."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from history_peers.read_model import Database
from parley_cli.engines import free_port
from parley_history.projection.projector import Projector
from parley_history.projector_app import create_projector
from parley_history.settings import ProjectorSettings


async def ended(process: asyncio.subprocess.Process, signal: signal.Signals | None = None) -> str:
    """What the process wrote to stderr, once it has ended."""
    if signal is not None:
        process.send_signal(signal)
    async with asyncio.timeout(30):
        _, error = await process.communicate()
    return error.decode()


def projector_environment(
    tables: Database, bootstrap: str, topic: str, **more: str
) -> dict[str, str]:
    """The settings of a projector's process, in a group of the topic's name."""
    return {
        "PARLEY_HISTORY_DATABASE": tables.dsn,
        "PARLEY_KAFKA": bootstrap,
        "PARLEY_PROJECTOR_TOPIC": topic,
        "PARLEY_PROJECTOR_GROUP": topic,
        "PARLEY_PROJECTOR_PORT": str(free_port()),
    } | more


def projector_of(database: str, **settings: Any) -> Projector:
    """A projector to run in this process."""
    quick = {
        "projector_read_seconds": 0.1,
        "projector_pause_seconds": 0.02,
        "projector_pause_most_seconds": 0.1,
    }
    return create_projector(ProjectorSettings(history_database=database, **quick | settings))


@asynccontextmanager
async def projecting(database: str, **settings: Any) -> AsyncIterator[Projector]:
    """A projector that runs until the end of the block; what ends it before is raised."""
    projector = projector_of(database, **settings)
    running = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        running.cancel()
        [outcome] = await asyncio.gather(running, return_exceptions=True)
        if not isinstance(outcome, asyncio.CancelledError):
            raise outcome
