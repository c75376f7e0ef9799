"""Connection settings of the event store's database, its pool and its other connections."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias

import asyncpg
from pydantic import Field

from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.settings import DatabaseUrl, Seconds
from parley_core.storage.database_roles import DatabaseRole
from parley_core.storage.database_urls import DatabaseUrls
from parley_core.storage.postgres_pool import Pool, open_pool

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # Not subscriptable at run time.

LISTEN_CHECK_SECONDS = 1


class DatabaseSettings(DatabaseUrls):
    url: Annotated[
        DatabaseUrl,
        Field(description="a URL such as postgresql://user:password@host/parley_session"),
    ]
    max_connections: int = Field(
        default=16, ge=2, le=1_000, description="pooled connections, from 2 to 1000"
    )
    timeout_seconds: Seconds = Field(
        default=5, description="the seconds that connecting, or one statement, may take"
    )
    maintenance_timeout_seconds: Seconds = Field(
        default=3_600, description="the seconds that a statement of a maintenance command may take"
    )


class MigrateDatabaseSettings(DatabaseSettings):
    runtime_role: DatabaseRole | None = Field(
        default=None,
        description=(
            "the role with which session serves, which `migrate` gives the rights on its tables "
            "that it needs; unset: session is to serve with the role that migrates"
        ),
    )


def open_store_pool(settings: DatabaseSettings, monitor: ProcessMonitor) -> Pool:
    return open_pool(
        lambda: settings.current_pool_url,
        is_pooled=settings.pooler_url is not None,
        max_connections=settings.max_connections,
        timeout_seconds=settings.timeout_seconds,
        application_name="parley-session",
        monitor=monitor,
    )


async def connect_for_maintenance(
    settings: DatabaseSettings, server_settings: Mapping[str, str] | None = None
) -> Connection:
    """A connection whose statements may take as long as a maintenance command needs."""
    return await asyncpg.connect(
        settings.url,
        timeout=settings.timeout_seconds,
        command_timeout=settings.maintenance_timeout_seconds,
        server_settings=dict(server_settings or {}),
    )


async def listen(
    settings: DatabaseSettings, channel: str, on_notification: Callable[[str], None]
) -> None:
    """Call `on_notification` with each payload; raises one of DATABASE_UNAVAILABLE at the end."""
    connection = await asyncpg.connect(
        settings.current_url,
        timeout=settings.timeout_seconds,
        command_timeout=settings.timeout_seconds,
        server_settings={"application_name": "parley-session-listen"},
    )
    try:
        await connection.add_listener(channel, lambda *given: on_notification(str(given[-1])))
        while True:
            await asyncio.sleep(LISTEN_CHECK_SECONDS)
            # A server that vanished closes no connection.
            await connection.fetchval("SELECT 1")
    finally:
        connection.terminate()
