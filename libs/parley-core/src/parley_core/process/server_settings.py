"""Settings of every HTTP server of Parley: shutdown, keep-alive and age of connections."""

from typing import Annotated

from pydantic import Field

from parley_core.runtime.settings import Port, Prefix, Seconds, SettingsGroup, Variable


class ServerSettings(SettingsGroup):
    management_host: str | None = Field(
        default=None,
        description="the address at which the management port listens; by default that of the "
        "main port",
    )
    lame_duck_seconds: float = Field(
        default=0,
        ge=0,
        le=600,
        description="the seconds after SIGTERM in which new connections are still accepted, while "
        "load balancers learn that the process is not ready; from 0 to 600",
    )
    keep_alive_seconds: Seconds = Field(
        default=75,
        description="the seconds after which an idle connection is closed; longer than the idle "
        "timeout of a load balancer in front",
    )
    connection_max_seconds: Seconds = Field(
        default=60,
        description="the seconds after which a connection is closed at the end of a request, give "
        "or take 20 %, so that clients spread over new processes",
    )


ServerSettingsGroup = Annotated[ServerSettings, Prefix("PARLEY_")]

MigrationWaitSetting = Annotated[
    Seconds,
    Variable("PARLEY_MIGRATION_WAIT_SECONDS"),
    Field(description="the seconds for which a start waits for pending migrations, then fails"),
]
MIGRATION_WAIT_SECONDS = 600.0

ManagementPort = Annotated[
    Port | None,
    Field(
        description="the port of probes, metrics and status; without it they are served on the "
        "main port, and by the gateway /livez and /readyz only"
    ),
]
