"""Settings of the Kafka topics that session publishes to."""

from collections.abc import Sequence

from pydantic import Field

from parley_core.runtime.settings import Count, SettingsGroup
from parley_events.topics import (
    API_KEYS_PARTITIONS,
    API_KEYS_TOPIC,
    ASSISTANTS_PARTITIONS,
    ASSISTANTS_TOPIC,
    AUDIT_PARTITIONS,
    AUDIT_TOPIC,
    SESSIONS_TOPIC,
    TopicSpec,
)


class TopicSettings(SettingsGroup):
    sessions: str = Field(default=SESSIONS_TOPIC, description="the topic of session events")
    assistants: str = Field(default=ASSISTANTS_TOPIC, description="the topic of assistant events")
    api_keys: str = Field(default=API_KEYS_TOPIC, description="the topic of API key events")
    audit: str = Field(default=AUDIT_TOPIC, description="the topic of the audit trail")
    partitions: Count = Field(default=48, description="the partitions of a new sessions topic")
    replication: Count = Field(default=3, description="the replication factor of new topics")
    min_isr: Count = Field(default=2, description="the min.insync.replicas of new topics")

    @property
    def specs(self) -> Sequence[TopicSpec]:
        """Those of all topics."""
        return self.sessions_spec, self.assistants_spec, self.api_keys_spec, self.audit_spec

    @property
    def sessions_spec(self) -> TopicSpec:
        return TopicSpec(self.sessions, self.partitions, self.replication, self.min_isr)

    @property
    def assistants_spec(self) -> TopicSpec:
        return TopicSpec(self.assistants, ASSISTANTS_PARTITIONS, self.replication, self.min_isr)

    @property
    def api_keys_spec(self) -> TopicSpec:
        return TopicSpec(self.api_keys, API_KEYS_PARTITIONS, self.replication, self.min_isr)

    @property
    def audit_spec(self) -> TopicSpec:
        return TopicSpec(self.audit, AUDIT_PARTITIONS, self.replication, self.min_isr)
