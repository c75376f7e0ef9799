"""What session reads from the environment: its engines, its keys, and the bound of every wait.

Durations are in seconds and sizes in bytes. No other file reads the environment.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from parley_core.crypto.master_keys import MasterKeys
from parley_core.log.settings import LogSettings
from parley_core.runtime.settings import (
    Count,
    DatabaseUrl,
    InternalSecretSetting,
    Port,
    RedisUrl,
    Seconds,
    Settings,
    SharedPort,
)
from parley_events.topics import ASSISTANTS_PARTITIONS, ASSISTANTS_TOPIC, SESSIONS_TOPIC, TopicSpec

_DATABASE = "a URL such as postgresql://user:password@host/parley_session"
_MASTER_KEY = "id:base64, the base64 part the 32 random bytes of a key"

_MasterKeys = Annotated[
    MasterKeys,
    BeforeValidator(lambda text: text if isinstance(text, MasterKeys) else MasterKeys.parse(text)),
]

KIB = 1024
MIB = 1024 * KIB


class DatabaseSettings(Settings):
    session_database: DatabaseUrl = Field(description=_DATABASE)


class MigrateSettings(DatabaseSettings):
    """What the `migrate` command needs."""

    assistants: Path | None = None


class TopicSettings(LogSettings):
    """What the `create-topic` command needs."""

    relay_topic: str = SESSIONS_TOPIC
    relay_assistants_topic: str = ASSISTANTS_TOPIC
    topic_partitions: Count = 48
    topic_replication: Count = 3
    topic_min_isr: Count = 2

    @property
    def topic(self) -> TopicSpec:
        return TopicSpec(
            self.relay_topic, self.topic_partitions, self.topic_replication, self.topic_min_isr
        )

    @property
    def assistants_topic(self) -> TopicSpec:
        return TopicSpec(
            self.relay_assistants_topic,
            ASSISTANTS_PARTITIONS,
            self.topic_replication,
            self.topic_min_isr,
        )


class RelaySettings(LogSettings):
    """What a relay needs, from the event store to the log."""

    session_database: DatabaseUrl = Field(description=_DATABASE)
    session_store_seconds: Seconds = 5
    relay_topic: str = SESSIONS_TOPIC
    relay_assistants_topic: str = ASSISTANTS_TOPIC
    relay_records: Count = 2_000
    relay_bytes: Count = 8 * MIB
    relay_publish_seconds: Seconds = 5
    relay_poll_seconds: Seconds = 0.25
    relay_linger_seconds: Seconds = 0.003
    relay_opened_seconds: Seconds = 0.025
    relay_pause_seconds: Seconds = 0.5


class LogCommandSettings(RelaySettings, TopicSettings):
    """What `verify-log`, `restore-log` and `reconcile` need."""

    # A statement that reads the whole store; and how long the log may give nothing.
    session_command_seconds: Seconds = 3_600
    session_log_stalled_seconds: Seconds = 30


class KeySettings(Settings):
    """What `verify-backup` needs: with a master key it tries whether the keys open."""

    master_key: _MasterKeys | None = None


class BackupSettings(DatabaseSettings, KeySettings):
    """What `backup` and `restore` need."""

    session_store_seconds: Seconds = 5
    session_command_seconds: Seconds = 3_600


class EraseUserSettings(DatabaseSettings):
    """What `erase-user` needs."""

    master_key: _MasterKeys = Field(description=_MASTER_KEY)
    session_store_seconds: Seconds = 5
    session_append_attempts: Count = 8


class SessionSettings(RelaySettings, SharedPort):
    internal_secret: InternalSecretSetting = Field(
        description="at least 32 random bytes, the same for every service"
    )
    master_key: _MasterKeys = Field(description=_MASTER_KEY)
    session_host: str = "127.0.0.1"
    session_port: Port = 8081

    model: str = Field(description="the name of a model, such as gpt-4.1-mini")
    # Of one tenant; and kept in memory.
    session_assistants: Count = 1_000
    session_assistants_kept: Count = 1_000

    # For how long sessions are kept; how many a tick of the job looks at, and erases at most.
    policies: Path | None = None
    session_retention_seconds: Seconds = 2
    session_retention_looked_at: Count = 2_000
    session_retention_erased: Count = 100

    # The event store.
    session_connections: int = Field(16, ge=2, le=1_000, description="a number from 2 to 1000")
    session_append_attempts: Count = 8
    session_sessions_kept: Count = 10_000
    session_most_messages: Count = 10_000
    session_temporary_hours: Count = 24
    # What one fork may copy.
    session_fork_messages: Count = 2_000
    session_fork_bytes: Count = 16 * MIB
    session_body_bytes: Count = 4 * MIB
    session_drain_seconds: Count = 5

    # The context of a turn, in tokens as estimated.
    session_context_tokens: Count = 24_000

    # Who runs a turn: an open turn that no process names for a lease is ended.
    session_lease_seconds: Seconds = 10
    # A sweeper that is away for 3 s gives every runner a new lease.
    session_sweep_seconds: float = Field(1, gt=0, le=2, description="seconds, over 0 and up to 2")
    session_sweep_turns: Count = 100
    # Where inference keeps what it streamed: that much is left of the reply of a lost process.
    # How long one read of it may take, and how long none is made after one that failed.
    redis: RedisUrl | None = Field(None, description="a URL such as redis://127.0.0.1:6379/0")
    session_buffer_seconds: Seconds = 1
    session_buffer_pause_seconds: Seconds = 5
    session_idempotency_hours: Count = 24

    # A scrape of /metrics waits no longer for the store.
    session_metrics_seconds: Seconds = 2
