"""Settings of the `serve` and `project` commands, read from PARLEY_HISTORY_… variables."""

from typing import Annotated

from pydantic import Field

from parley_core.auth.service_keys import ServiceKeysSetting, SigningKeySetting, key_of
from parley_core.log.kafka_settings import KafkaSettings
from parley_core.process.server_settings import (
    MIGRATION_WAIT_SECONDS,
    ManagementPort,
    MigrationWaitSetting,
    ServerSettings,
    ServerSettingsGroup,
)
from parley_core.runtime.settings import (
    BaseUrl,
    Port,
    Prefix,
    Seconds,
    Settings,
    SettingsGroup,
    SharedPortSetting,
    Variable,
)
from parley_core.tls.tls_settings import TlsGroup, TlsSettings
from parley_events.topics import SESSIONS_TOPIC
from parley_history.change_feed.projection_wait import ProjectionWaitSettings
from parley_history.queries.export.export_sessions import ExportSettings
from parley_history.queries.search.indexer import SearchSettings
from parley_history.queries.search.search_messages import SearchLimitSettings
from parley_history.storage.database import DatabaseSettings


class ServeSettings(Settings, env_prefix="PARLEY_HISTORY_"):
    database: DatabaseSettings
    signing_key: Annotated[SigningKeySetting, key_of("history")]
    service_keys: ServiceKeysSetting
    session_url: Annotated[BaseUrl, Variable("PARLEY_SESSION_URL")]
    host: str = Field(default="127.0.0.1", description="the address to listen at")
    port: Port = Field(default=8083, description="the port to listen at, from 1 to 65535")
    shared_port: SharedPortSetting = None
    management_port: ManagementPort = None
    server: ServerSettingsGroup = ServerSettings()
    tls: TlsGroup = TlsSettings()
    migration_wait_seconds: MigrationWaitSetting = MIGRATION_WAIT_SECONDS
    projection_wait: ProjectionWaitSettings = ProjectionWaitSettings()
    export: ExportSettings = ExportSettings()
    search: SearchSettings = SearchSettings()
    search_limit: Annotated[SearchLimitSettings, Prefix("PARLEY_HISTORY_SEARCH_")] = (
        SearchLimitSettings()
    )


class ProjectorSettings(SettingsGroup):
    host: str = Field(default="127.0.0.1", description="the address to listen at")
    management_port: Port = Field(
        default=8084, description="the port of probes, metrics and status, from 1 to 65535"
    )
    consumer_group: str = Field(default="parley-history", description="the Kafka consumer group")
    batch_size: int = Field(
        default=2_000, ge=1, le=10_000, description="records per transaction, from 1 to 10000"
    )
    stall_timeout_seconds: Seconds = Field(
        default=60,
        description="the seconds of lag without progress after which the process exits, over 0 "
        "and up to 86400",
    )


class ProjectSettings(Settings, env_prefix="PARLEY_HISTORY_"):
    database: DatabaseSettings
    kafka: Annotated[KafkaSettings, Prefix("PARLEY_KAFKA_")]
    server: ServerSettingsGroup = ServerSettings()
    migration_wait_seconds: MigrationWaitSetting = MIGRATION_WAIT_SECONDS
    topic: str = Field(default=SESSIONS_TOPIC, description="the Kafka topic of session events")
    projector: ProjectorSettings = ProjectorSettings()
