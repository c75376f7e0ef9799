"""Log entry: a record with its partition and offset."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from parley_events.cloudevents import Record

_VALUE = itemgetter(1)


class LogEntry(NamedTuple):
    """A record at an offset of a partition; `offset + 1` is the position after it."""

    partition: int
    offset: int
    record: Record


MessageBatches = Mapping[TopicPartition, Sequence[ConsumerRecord]]
"""The result of aiokafka's `getmany`: messages in order within each partition."""


def entries_of(batches: MessageBatches) -> list[LogEntry]:
    """Convert messages, in order within each partition."""
    return [
        LogEntry(message.partition, message.offset, _record(message))
        for messages in batches.values()
        for message in messages
    ]


def _record(message: ConsumerRecord) -> Record:
    # Kafka allows null where Parley writes bytes; a foreign record must not break the reader.
    # A list, as in an encoded record: records are compared.
    headers = list(message.headers)
    if not all(map(_VALUE, headers)):
        headers = [(name, value or b"") for name, value in headers]
    return Record(key=message.key or b"", headers=headers, value=message.value or b"")


_default_partitioner = DefaultPartitioner()


def partition_of(key: bytes, partitions: Sequence[int]) -> int:
    """Return the partition of a key by Kafka's default hash; `partitions` are all, in order."""
    return int(_default_partitioner(key, partitions, partitions))
