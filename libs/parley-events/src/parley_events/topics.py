"""Kafka topics of the log: their names and the settings that the guarantees require.

Settings: https://kafka.apache.org/documentation/#topicconfigs
"""

from dataclasses import dataclass

SESSIONS_TOPIC = "parley.sessions.v1"
ASSISTANTS_TOPIC = "parley.assistants.v1"
# Low volume, and consumers need all definitions in order.
ASSISTANTS_PARTITIONS = 1
API_KEYS_TOPIC = "parley.api-keys.v1"
# Low volume.
API_KEYS_PARTITIONS = 1
AUDIT_TOPIC = "parley.audit.v1"
# One chain, whose records are in order.
AUDIT_PARTITIONS = 1

MAX_MESSAGE_BYTES = 1024 * 1024
"""Fits a batch with a single record of 768 KiB and its overhead."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The required configuration of a topic; its number of partitions never changes."""

    name: str
    partitions: int
    replication_factor: int
    min_insync_replicas: int

    @property
    def settings(self) -> dict[str, str]:
        return {
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "cleanup.policy": "delete",
            "unclean.leader.election.enable": "false",
            "min.insync.replicas": str(self.min_insync_replicas),
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
        }
