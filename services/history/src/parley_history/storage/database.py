"""Connections to history's database: settings and timeouts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from pydantic import Field

from parley_core.runtime.settings import DatabaseUrl, Seconds, Settings, SettingsGroup

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # Not subscriptable at run time.


class DatabaseSettings(SettingsGroup):
    url: DatabaseUrl = Field(
        description="a URL such as postgresql://user:password@host/parley_history"
    )
    pooler_url: DatabaseUrl | None = Field(
        default=None,
        description=(
            "the URL of the same database through a pooler in transaction mode, such as PgBouncer; "
            "unset: requests connect directly, as everything else always does"
        ),
    )
    timeout_seconds: Seconds = Field(
        default=5,
        description="the seconds that connecting or a statement may take, over 0 and up to 86400",
    )
    max_connections: int = Field(
        default=10, ge=1, le=1_000, description="the size of the connection pool, from 1 to 1000"
    )


class DatabaseCommandSettings(Settings, env_prefix="PARLEY_HISTORY_"):
    """The settings of commands that only need the database: `migrate` and `dead-letters`."""

    database: DatabaseSettings


async def connect(
    database: DatabaseSettings,
    application_name: str,
    *,
    statement_timeout_seconds: float | None,
    server_settings: Mapping[str, str] = MappingProxyType({}),
) -> Connection:
    """Open a dedicated connection; None leaves its statements unbounded."""
    return await asyncpg.connect(
        database.url,
        timeout=database.timeout_seconds,
        command_timeout=statement_timeout_seconds,
        server_settings={"application_name": application_name, **server_settings},
    )
