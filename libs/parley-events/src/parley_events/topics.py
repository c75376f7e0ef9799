"""The topics of the log: their names and the settings that the guarantees need.

Settings: https://kafka.apache.org/documentation/#topicconfigs
"""

from dataclasses import dataclass

SESSIONS_TOPIC = "parley.sessions.v1"
ASSISTANTS_TOPIC = "parley.assistants.v1"
# Administrators write little, and who reads it wants all of it in order.
ASSISTANTS_PARTITIONS = 1

MAX_MESSAGE_BYTES = 1024 * 1024
"""A record of 768 KiB alone in its batch, with the overhead of the batch."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic of the log must be. The number of partitions never changes (see DESIGN)."""

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
