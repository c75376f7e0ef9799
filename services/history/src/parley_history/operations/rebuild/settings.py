"""Settings of the `rebuild` and `verify` commands."""

from typing import Annotated

from pydantic import Field

from parley_core.log.kafka_settings import KafkaSettings
from parley_core.runtime.settings import Prefix, Seconds, Settings, SettingsGroup
from parley_events.topics import SESSIONS_TOPIC
from parley_history.storage.database import DatabaseSettings


class RebuildSettings(SettingsGroup):
    batch_size: int = Field(
        default=20_000, ge=1, le=100_000, description="records per transaction, from 1 to 100000"
    )
    catch_up_timeout_seconds: Seconds = Field(
        default=10,
        description="seconds that a verify waits for the live projection, over 0 and up to 86400",
    )


class RebuildCommandSettings(Settings, env_prefix="PARLEY_HISTORY_"):
    database: DatabaseSettings
    kafka: Annotated[KafkaSettings, Prefix("PARLEY_KAFKA_")]
    topic: str = Field(default=SESSIONS_TOPIC, description="the Kafka topic of session events")
    rebuild: RebuildSettings = RebuildSettings()
