"""Connections to history's database: settings and timeouts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from pydantic import Field

from parley_core.runtime.settings import DatabaseUrl, Seconds, Settings
from parley_core.storage.database_roles import DatabaseRole
from parley_core.storage.database_urls import DatabaseUrls

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # Not subscriptable at run time.


class DatabaseSettings(DatabaseUrls):
    url: DatabaseUrl = Field(
        description="a URL such as postgresql://user:password@host/parley_history"
    )
    timeout_seconds: Seconds = Field(
        default=5,
        description="the seconds that connecting or a statement may take, over 0 and up to 86400",
    )
    max_connections: int = Field(
        default=10, ge=1, le=1_000, description="the size of the connection pool, from 1 to 1000"
    )


class DeadLettersSettings(Settings, env_prefix="PARLEY_HISTORY_"):
    """The settings of `dead-letters`."""

    database: DatabaseSettings


class MigrateDatabaseSettings(DatabaseSettings):
    runtime_role: DatabaseRole | None = Field(
        default=None,
        description=(
            "the role with which `project` works, which `migrate` gives the rights that it needs; "
            "unset: it is to work with the role that migrates"
        ),
    )
    reader_role: DatabaseRole | None = Field(
        default=None, description="the role with which `serve` works, likewise"
    )


class MigrateSettings(Settings, env_prefix="PARLEY_HISTORY_"):
    """The settings of `migrate`."""

    database: MigrateDatabaseSettings


async def connect(
    database: DatabaseSettings,
    application_name: str,
    *,
    statement_timeout_seconds: float | None,
    server_settings: Mapping[str, str] = MappingProxyType({}),
) -> Connection:
    """Open a dedicated connection; None leaves its statements unbounded."""
    return await asyncpg.connect(
        database.current_url,
        timeout=database.timeout_seconds,
        command_timeout=statement_timeout_seconds,
        server_settings={"application_name": application_name, **server_settings},
    )
