"""History's commands as processes, and the projector within the test process."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from history_testing.read_model import ReadModelTables, database_settings
from parley_cli.engines import free_port
from parley_core.log.kafka_settings import KafkaSettings
from parley_history.projection.projector import Projector
from parley_history.projector_app import create_projector
from parley_history.settings import ProjectorSettings, ProjectSettings


async def stderr_at_exit(
    process: asyncio.subprocess.Process, signal: signal.Signals | None = None
) -> str:
    """Send the signal, if any, and return the stderr of the process when it has exited."""
    if signal is not None:
        process.send_signal(signal)
    async with asyncio.timeout(30):
        _, error = await process.communicate()
    return error.decode()


def projector_environment(
    tables: ReadModelTables, bootstrap_servers: str, topic: str, **variables: str
) -> dict[str, str]:
    """Return the environment of a projector process whose group has the topic's name."""
    return {
        "PARLEY_HISTORY_DATABASE_URL": tables.runtime_dsn,
        "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "PARLEY_HISTORY_TOPIC": topic,
        "PARLEY_HISTORY_PROJECTOR_CONSUMER_GROUP": topic,
        "PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT": str(free_port()),
    } | variables


def project_settings(
    dsn: str,
    *,
    bootstrap_servers: str,
    topic: str,
    group: str = "parley-history",
    batch_size: int = 2_000,
    stall_timeout_seconds: float = 60,
) -> ProjectSettings:
    return ProjectSettings(
        database=database_settings(dsn),
        kafka=KafkaSettings.model_validate({"bootstrap_servers": bootstrap_servers}),
        topic=topic,
        projector=ProjectorSettings(
            consumer_group=group,
            batch_size=batch_size,
            stall_timeout_seconds=stall_timeout_seconds,
        ),
    )


@asynccontextmanager
async def projecting(settings: ProjectSettings) -> AsyncIterator[Projector]:
    """Run a projector until the end of the block; raise the error that ended it earlier."""
    projector = create_projector(settings)
    running = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
