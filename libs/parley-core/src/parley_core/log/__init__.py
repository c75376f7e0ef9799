"""Kafka adapter: transports records without interpreting them.

`ensure_topic` creates a topic, `LogWriter` appends, `LogReader` reads from given positions, and
`GroupReader` shares the partitions of a topic among the members of a consumer group.
"""

from parley_core.log.brokers import Brokers, OAuthTokenFile, SaslPassword
from parley_core.log.errors import (
    LogError,
    LogUnreachable,
    PositionOutOfRange,
    TopicMismatch,
    TopicMissing,
)
from parley_core.log.group_reader import GroupReader
from parley_core.log.log_entry import LogEntry, MessageBatches, entries_of, partition_of
from parley_core.log.reader import LogReader
from parley_core.log.topic_admin import ensure_topic
from parley_core.log.writer import AppendResult, LogWriter

__all__ = [
    "AppendResult",
    "Brokers",
    "GroupReader",
    "LogEntry",
    "LogError",
    "LogReader",
    "LogUnreachable",
    "LogWriter",
    "MessageBatches",
    "OAuthTokenFile",
    "PositionOutOfRange",
    "SaslPassword",
    "TopicMismatch",
    "TopicMissing",
    "ensure_topic",
    "entries_of",
    "partition_of",
]
