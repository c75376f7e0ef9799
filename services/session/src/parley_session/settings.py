"""Settings of the session service and its commands, read from the environment.

Durations are in seconds and sizes in bytes, unless the name says otherwise.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from parley_core.auth.service_keys import ServiceKeysSetting
from parley_core.crypto.master_keys import MasterKeys
from parley_core.limits.rules_file import LimitsFileSetting
from parley_core.log.kafka_settings import KafkaSettings
from parley_core.process.server_settings import (
    MIGRATION_WAIT_SECONDS,
    ManagementPort,
    MigrationWaitSetting,
    ServerSettings,
    ServerSettingsGroup,
)
from parley_core.runtime.settings import (
    Count,
    Port,
    Prefix,
    Secret,
    Settings,
    SharedPortSetting,
    Variable,
)
from parley_core.storage.redis_settings import RedisGroup, RedisSettings
from parley_core.tls.tls_settings import TlsGroup, TlsSettings
from parley_session.application.turns.lease_sweeper import TurnSettings
from parley_session.relay.relay import RelaySettings
from parley_session.relay.topic_settings import TopicSettings
from parley_session.storage.database import DatabaseSettings, MigrateDatabaseSettings

_PREFIX = "PARLEY_SESSION_"

_MasterKeys = Annotated[
    MasterKeys,
    BeforeValidator(lambda text: text if isinstance(text, MasterKeys) else MasterKeys.parse(text)),
    Secret(),
    Field(
        description="id:base64, the base64 part the 32 random bytes of a key, or a list that also "
        "names keys in Vault or AWS KMS"
    ),
]
MasterKeySetting = Annotated[_MasterKeys, Variable("PARLEY_MASTER_KEY")]
OptionalMasterKeySetting = Annotated[_MasterKeys | None, Variable("PARLEY_MASTER_KEY")]
KafkaGroup = Annotated[KafkaSettings, Prefix("PARLEY_KAFKA_")]


class MigrateSettings(Settings, env_prefix=_PREFIX):
    """Settings of `migrate`."""

    database: MigrateDatabaseSettings
    assistants_path: Path | None = Field(
        default=None, description="the path of a YAML file with the shared assistants"
    )


class CreateTopicSettings(Settings, env_prefix=_PREFIX):
    """Settings of `create-topic`."""

    kafka: KafkaGroup
    topic: TopicSettings = TopicSettings()


class LogCommandSettings(Settings, env_prefix=_PREFIX):
    """Settings of `verify-log`, `restore-log` and `reconcile`."""

    database: DatabaseSettings
    kafka: KafkaGroup
    topic: TopicSettings = TopicSettings()
    relay: RelaySettings = RelaySettings()


class VerifyBackupSettings(Settings, env_prefix=_PREFIX):
    """Settings of `verify-backup`; with a master key it also verifies that the keys unwrap."""

    master_key: OptionalMasterKeySetting = None


class BackupSettings(Settings, env_prefix=_PREFIX):
    """Settings of `backup` and `restore`."""

    database: DatabaseSettings
    master_key: OptionalMasterKeySetting = None


class AppendSimulatedSettings(Settings, env_prefix=_PREFIX):
    """Settings of `append-simulated`."""

    database: DatabaseSettings
    master_key: MasterKeySetting


class EraseUserSettings(AppendSimulatedSettings, env_prefix=_PREFIX):
    """Settings of `erase-user`."""

    redis: RedisGroup = RedisSettings()


class RecountCostsSettings(Settings, env_prefix=_PREFIX):
    """Settings of `recount-costs`."""

    database: DatabaseSettings


class KeysSettings(Settings, env_prefix=_PREFIX):
    """Settings of `keys`."""

    database: DatabaseSettings
    master_key: MasterKeySetting


class SessionSettings(Settings, env_prefix=_PREFIX):
    """Settings of `serve`."""

    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: Port = 8081
    shared_port: SharedPortSetting = None
    management_port: ManagementPort = None
    server: ServerSettingsGroup = ServerSettings()
    tls: TlsGroup = TlsSettings()
    migration_wait_seconds: MigrationWaitSetting = MIGRATION_WAIT_SECONDS
    drain_seconds: Count = Field(
        default=5, description="the whole seconds that requests may take to finish after SIGTERM"
    )
    service_keys: ServiceKeysSetting
    master_key: MasterKeySetting
    database: DatabaseSettings
    kafka: KafkaGroup
    topic: TopicSettings = TopicSettings()
    relay: RelaySettings = RelaySettings()
    redis: RedisGroup = RedisSettings()
    turn: TurnSettings = TurnSettings()
    default_model: str = Field(
        description="the model of assistants that name none, such as gpt-4.1-mini"
    )
    default_context_tokens: Count = Field(
        default=24_000, description="the prompt tokens of models whose context size is unknown"
    )
    max_messages_per_session: Count = Field(
        default=10_000, description="the messages that a session may have, on all branches"
    )
    temporary_session_hours: Count = Field(
        default=24, description="the whole hours after which a temporary session expires"
    )
    idempotency_hours: Count = Field(
        default=24, description="the whole hours for which an Idempotency-Key is remembered"
    )
    session_cache_max_bytes: Count = Field(
        default=128 * 1024 * 1024,
        description="memory for cached sessions, in bytes; a session takes some 500 per message",
    )
    retention_policy_path: Path | None = Field(
        default=None, description="the path of a YAML file with retention policies"
    )
    limits_file: LimitsFileSetting = None
    models_path: Path | None = Field(
        default=None,
        description="the path of inference's YAML file of models, whose prices budgets need",
    )
